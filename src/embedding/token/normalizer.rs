//! The normaliser of a tokenizer: what other files of the model change in it.

use tokenizers::normalizers::{BertNormalizer, Lowercase, NormalizerWrapper, Sequence};

/// What replaces the settings of a BERT tokenizer's normaliser, where it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BertNormalization {
    pub lowercase: Option<bool>,
    pub strip_accents: Option<bool>,
    pub handle_chinese_chars: Option<bool>,
}

/// Replaces settings of the normaliser, if it is that of BERT.
pub fn set_bert(
    inner: &mut tokenizers::Tokenizer,
    options: BertNormalization,
) -> std::result::Result<(), String> {
    let Some(NormalizerWrapper::BertNormalizer(own)) = inner.get_normalizer() else {
        return Ok(());
    };
    let BertNormalization { lowercase, strip_accents, handle_chinese_chars } = options;
    let new = BertNormalizer::new(
        own.clean_text,
        handle_chinese_chars.unwrap_or(own.handle_chinese_chars),
        strip_accents.or(own.strip_accents),
        lowercase.unwrap_or(own.lowercase),
    );
    inner.with_normalizer(Some(new)).map(|_| ()).map_err(|e| e.to_string())
}

/// Converts texts to lower case before anything else, unless the tokenizer does so itself.
pub fn add_lower_case(inner: &mut tokenizers::Tokenizer) -> std::result::Result<(), String> {
    fn lowers(normalizer: &NormalizerWrapper) -> bool {
        match normalizer {
            NormalizerWrapper::Lowercase(_) => true,
            NormalizerWrapper::BertNormalizer(bert) => bert.lowercase,
            NormalizerWrapper::Sequence(all) => all.as_ref().iter().any(lowers),
            _ => false,
        }
    }
    if inner.get_normalizer().is_some_and(lowers) {
        return Ok(());
    }
    let own = inner.get_normalizer().cloned();
    let all = std::iter::once(NormalizerWrapper::Lowercase(Lowercase)).chain(own).collect();
    let all = NormalizerWrapper::Sequence(Sequence::new(all));
    inner.with_normalizer(Some(all)).map(|_| ()).map_err(|e| e.to_string())
}
