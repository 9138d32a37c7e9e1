//! Rerankers that answer yes or no: language models such as Qwen3-Reranker (Zhang et al., 2025).

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};
use serde::Deserialize;

use crate::base::error::{Error, Result};
use crate::device::cpu::ops::Linear;
use crate::device::{Backend, Cpu};
use crate::embedding::nn::checkpoint::Checkpoint;
use crate::embedding::nn::config::{Raw, read_json, unsupported};
use crate::embedding::nn::part::Part;
use crate::embedding::nn::sentence::{Module, TextConfig, network_folder};
use crate::embedding::token::{PairTemplate, Tokenizer};

/// The name in config.json.
const ARCHITECTURE: &str = "ForCausalLM";
/// The module of sentence-transformers that names the tokens of the answers.
const ANSWER_MODULE: &str = "LogitScore";
/// The words whose logits are compared, unless a module LogitScore names others.
const WORDS: [&str; 2] = ["yes", "no"];

/// Of texts that are not tokenised: only the vocabulary is asked.
const TOKENS_MAX: usize = 512;

/// The template that Qwen3-Reranker was trained with, by its model card.
const QWEN3_BEFORE: &str = "<|im_start|>system\nJudge whether the Document meets the requirements \
    based on the Query and the Instruct provided. Note that the answer can only be \"yes\" or \
    \"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: ";
const QWEN3_BEFORE_QUERY: &str = "\n<Query>: ";
const QWEN3_BETWEEN: &str = "\n<Document>: ";
const QWEN3_AFTER: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
const QWEN3_INSTRUCT: &str =
    "Given a web search query, retrieve relevant passages that answer the query";

/// What stands for the two texts while a template is rendered.
const QUERY: &str = "\u{e000}query\u{e000}";
const DOCUMENT: &str = "\u{e000}document\u{e000}";

/// Whether the model is a language model, which is read as a reranker by its answer.
pub fn answers(raw: &Raw) -> Result<bool> {
    let architectures = raw.texts("architectures")?.unwrap_or_default();
    Ok(architectures.iter().any(|name| name.ends_with(ARCHITECTURE)))
}

/// Whether `modules.json` in `folder` says that the model answers with a score (LogitScore). Without
/// it, the same files are those of an embedder.
pub fn has_answer_module(folder: &Path) -> Result<bool> {
    let modules = Module::list(folder)?.unwrap_or_default();
    Ok(modules.iter().any(|module| module.class() == ANSWER_MODULE))
}

/// The layer from the last hidden state to the logit of the answer yes less that of no.
pub fn answer_layer(folder: &Path, checkpoint: &Checkpoint, cpu: &Cpu) -> Result<Linear> {
    let description = checkpoint.layers()?;
    let (vocab, d) = (description.vocab_size, description.hidden_dim);
    let whole = Part::whole(&checkpoint.weights, cpu);
    let decoder = if whole.has("lm_head.weight") {
        whole.take("lm_head.weight", &[vocab, d])?
    } else {
        let name = format!("{}.weight", description.names.word_embeddings);
        checkpoint.encoder(cpu)?.take(&name, &[vocab, d])?
    };
    let (yes, no) = answer_tokens(folder)?;
    let row = |id: u32| {
        decoder.chunks_exact(d).nth(id as usize).ok_or_else(|| {
            checkpoint.raw.broken(format!("vocab_size is {vocab}, but its answer is token {id}"))
        })
    };
    let mut weight = row(yes)?.to_vec();
    if let Some(no) = no {
        weight.iter_mut().zip(row(no)?).for_each(|(yes, no)| *yes -= no);
    }
    cpu.place_linear(weight, None, d)
}

/// The tokens of the two answers.
fn answer_tokens(folder: &Path) -> Result<(u32, Option<u32>)> {
    #[derive(Deserialize)]
    struct LogitScore {
        true_token_id: u32,
        false_token_id: Option<u32>,
    }
    let modules = Module::list(folder)?.unwrap_or_default();
    if let Some(module) = modules.iter().find(|module| module.class() == ANSWER_MODULE) {
        let path = folder.join(&module.path).join("config.json");
        if let Some(score) = read_json::<LogitScore>(&path)? {
            return Ok((score.true_token_id, score.false_token_id));
        }
    }
    let tokenizer = Tokenizer::open(&network_folder(folder)?, TOKENS_MAX)?;
    let id = |word: &str| {
        let found = format!("a language model whose tokenizer has no token {word:?}");
        tokenizer.token_id(word).ok_or_else(|| {
            unsupported(
                found,
                "rerankers that answer yes or no, or name their answers in a module \
                                LogitScore",
            )
        })
    };
    Ok((id(WORDS[0])?, Some(id(WORDS[1])?)))
}

impl PairTemplate {
    /// The template in which the language model in `folder` reads a pair; `None` if the model is
    /// not one. It is the model's own, if it has roles for a query and a document, else that of
    /// Qwen3-Reranker for models of its family.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let text = TextConfig::read(folder)?;
        let raw = Raw::read(&text.folder)?;
        if !answers(&raw)? {
            return Ok(None);
        }
        let instruct = Some(text.prompts.get("query")).filter(|prompt| !prompt.is_empty());
        if let Some(source) = chat_template(&text.folder)?
            && let Some(own) = render(&text.folder, &source, instruct)?
        {
            return Ok(Some(own));
        }
        let model_type = raw.text_or("model_type", "")?;
        if model_type != "qwen3" {
            return Err(unsupported(
                format!(
                    "{model_type} as a reranker without a chat template for a query and a document"
                ),
                "qwen3, or a chat_template.jinja with the roles query and document",
            ));
        }
        let instruct = instruct.unwrap_or(QWEN3_INSTRUCT);
        Ok(Some(Self {
            before: [QWEN3_BEFORE, instruct, QWEN3_BEFORE_QUERY].concat(),
            between: QWEN3_BETWEEN.to_owned(),
            after: QWEN3_AFTER.to_owned(),
        }))
    }
}

/// The model's chat template: a file of its own, or a key of tokenizer_config.json.
fn chat_template(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("chat_template.jinja");
    match std::fs::read_to_string(&path) {
        Ok(source) => return Ok(Some(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::PathUnreadable { path, source }),
    }
    let config = read_json::<serde_json::Value>(&folder.join("tokenizer_config.json"))?;
    let source = config.as_ref().and_then(|config| config.get("chat_template")?.as_str());
    Ok(source.map(str::to_owned))
}

/// The parts of a template around the two texts; `None` if it does not use both in this order.
fn render(folder: &Path, source: &str, instruct: Option<&str>) -> Result<Option<PairTemplate>> {
    if !(source.contains("query") && source.contains("document")) {
        return Ok(None);
    }
    let message = |role: &str, content: &str| context! { role, content };
    let system = instruct.map(|prompt| message("system", prompt));
    let messages: Vec<_> = system
        .into_iter()
        .chain([message("query", QUERY), message("document", DOCUMENT)])
        .collect();
    // As transformers reads them.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    let mut environment = Environment::new();
    environment.set_syntax(syntax.expect("the delimiters are Jinja's own"));
    let values = context! { messages, add_generation_prompt => true };
    let rendered = environment.render_str(source, values).map_err(|error| Error::ModelBroken {
        path: folder.join("chat_template.jinja"),
        detail: format!("the chat template cannot be rendered: {error}"),
    })?;
    let parts = rendered.split_once(QUERY).and_then(|(before, rest)| {
        let (between, after) = rest.split_once(DOCUMENT)?;
        Some((before.to_owned(), between.to_owned(), after.to_owned()))
    });
    Ok(parts.map(|(before, between, after)| PairTemplate { before, between, after }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::nn::tests::copy_of;

    /// As the documentation of sentence-transformers writes such templates.
    const OWN: &str = "{%- set query = messages | selectattr('role', 'eq', 'query') | first %}\n\
        {%- for message in messages if message.role == 'document' %}\n\
        query: {{ query.content }}\ndocument: {{ message.content }}\n\
        {%- endfor %}\n{% if add_generation_prompt %}answer:{% endif %}";

    #[test]
    fn the_models_own_template_is_read_before_the_published_one() {
        let folder = copy_of("qwen3_rerank");
        let published = PairTemplate::read(folder.path()).unwrap().unwrap();
        assert!(published.before.contains(QWEN3_INSTRUCT), "{published:?}");
        std::fs::write(folder.path().join("chat_template.jinja"), OWN).unwrap();
        let own = PairTemplate::read(folder.path()).unwrap().unwrap();
        assert_eq!(own.head("q", "d"), "query: q\ndocument: d", "{own:?}");
        assert_eq!(own.after, "answer:");
        std::fs::write(folder.path().join("chat_template.jinja"), "{{ query document").unwrap();
        let error = PairTemplate::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("chat_template.jinja"), "{error}");
    }

    #[test]
    fn an_encoder_has_no_template_and_another_language_model_is_refused() {
        assert_eq!(PairTemplate::read(copy_of("bert_rerank").path()).unwrap(), None);
        let folder = copy_of("qwen3_rerank");
        let path = folder.path().join("config.json");
        crate::embedding::nn::tests::edit_json(&path, "model_type", "\"llama\"");
        let error = PairTemplate::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("llama as a reranker"), "{error}");
    }

    #[test]
    fn a_module_names_the_answers_of_a_reranker() {
        let folder = copy_of("qwen3_rerank");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        assert!(!has_answer_module(folder.path()).unwrap());
        let words = answer_tokens(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("1_LogitScore")).unwrap();
        write(
            "modules.json",
            r#"[{"path": "", "type": "a.Transformer"}, {"path": "1_LogitScore", "type": "a.LogitScore"}]"#,
        );
        write("1_LogitScore/config.json", r#"{"true_token_id": 7, "false_token_id": null}"#);
        assert!(has_answer_module(folder.path()).unwrap());
        assert_ne!(words, (7, None));
        assert_eq!(answer_tokens(folder.path()).unwrap(), (7, None));
    }
}
