//! `codeintel eval`: makes sets of questions, asks them of the index, compares the figures of two runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::Context;
use super::out::{BOLD, DIM, Out, PATH, count, counted, paint};
use crate::base::error::{Error, Result};
use crate::base::output::OutputFile;
use crate::base::telemetry::labels::Tool;
use crate::corpus::source::Repo;
use crate::eval::{
    Comparison, Evaluation, MadeSet, MakeOptions, QuestionCandidates, QuestionScores,
    TakeCandidates, compare, evaluate, make, read_questions,
};
use crate::tools::semantic_search::RerankOptions;

/// The file of the questions that `make` writes.
const SET: &str = "questions.jsonl";

#[derive(clap::Args)]
pub struct EvalArgs {
    #[command(subcommand)]
    pub command: EvalCommand,
}

#[derive(clap::Subcommand)]
pub enum EvalCommand {
    /// Make questions from the documentation of a repository, and a copy of it without comments
    Make(MakeArgs),
    /// Ask questions of the index: each channel alone, their fusion, the whole pipeline
    Run(RunArgs),
    /// Compare the JSON of two runs over the same questions
    Compare(CompareArgs),
}

#[derive(clap::Args)]
pub struct MakeArgs {
    /// Folders or files with documented functions
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// A folder to create: questions.jsonl, and the sources to index in corpus/
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// The most questions in plain words
    #[arg(short, long, default_value_t = 500, value_name = "N")]
    pub questions: usize,
    /// The most of them about one folder
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub per_folder: usize,
}

#[derive(clap::Args)]
pub struct RunArgs {
    /// Questions, one JSON object a line
    #[arg(value_name = "SET")]
    pub questions: PathBuf,
    /// Write the figures, and the scores of each question, as JSON; - prints them instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what the ranking knows about the candidates of each question, one JSON object a line, for
    /// scripts/learn-ranking
    #[arg(long, value_name = "FILE")]
    pub candidates: Option<PathBuf>,
    /// Compare with the pipeline that ranks the best chunks once more by this method, too
    #[arg(long, value_name = "METHOD")]
    pub rerank: Option<String>,
}

#[derive(clap::Args)]
pub struct CompareArgs {
    /// The JSON of the run before
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The JSON of the run after
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(mut cx: Context, args: EvalArgs) -> Result<(), Arc<Error>> {
    match args.command {
        EvalCommand::Make(args) => make_set(&mut cx, &args)?,
        EvalCommand::Run(args) => run_set(&mut cx, &args)?,
        EvalCommand::Compare(args) => compare_runs(&mut cx, &args)?,
    }
    Ok(())
}

fn make_set(cx: &mut Context, args: &MakeArgs) -> Result<()> {
    let output = &args.output;
    if output.exists() {
        let expected = "a folder that does not exist yet".to_owned();
        let value = output.display().to_string();
        return Err(Error::Argument { name: "output", value, expected });
    }
    let repo = Repo::open(&args.paths, cx.app.settings())?;
    let options = MakeOptions { questions_max: args.questions, per_folder_max: args.per_folder };
    let run = cx.begin(Tool::Eval, &[]);
    let made = make(&repo, &options, &run);
    cx.finish(&run, made.as_ref().err());
    let made = made?;
    // A set that is not whole has another name, and is replaced by the next run.
    let mut beside = output.clone().into_os_string();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    write_set(&made, &beside)?;
    std::fs::rename(&beside, output).map_err(|source| Error::io("rename", &beside, source))?;
    let set = output.join(SET);
    let out = &mut cx.out;
    out.line(format!(
        "{} from {} in {}",
        paint(BOLD, counted(made.questions.len(), "question")),
        counted(made.files.len(), "file"),
        paint(PATH, set.display()),
    ))?;
    out.line(paint(
        DIM,
        format!("  {} dropped, because a file has their words", count(made.leaked)),
    ))?;
    let data = output.join("data");
    out.line(paint(
        DIM,
        format!(
            "  next: codeintel --data {data} index {corpus} && codeintel --data {data} eval run {set}",
            data = data.display(),
            corpus = output.join("corpus").display(),
            set = set.display(),
        ),
    ))
}

/// Writes the questions and the sources into `folder`, which is emptied first.
fn write_set(made: &MadeSet, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|source| Error::io("remove", folder, source))?;
    }
    let write = |path: &Path, text: &str| {
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, text));
        written.map_err(|source| Error::io("write", path, source))
    };
    for (path, text) in &made.files {
        write(&folder.join("corpus").join(path), text)?;
    }
    let mut lines = String::new();
    for question in &made.questions {
        let line = serde_json::to_string(question);
        lines += &line.map_err(Error::library("serde_json", "write a question"))?;
        lines.push('\n');
    }
    write(&folder.join(SET), &lines)
}

fn run_set(cx: &mut Context, args: &RunArgs) -> Result<(), Arc<Error>> {
    let questions = read_questions(&args.questions)?;
    let rerank = RerankOptions { method: args.rerank.clone(), top_k: None }.check()?;
    let rerank = rerank.method.is_some().then_some(rerank);
    cx.app.open(true)?;
    let searcher = cx.app.searcher()?;
    searcher.prepare_rerank(rerank.unwrap_or_default());
    let is_dash = args.json.as_deref().is_some_and(|file| file.as_os_str() == "-");
    let file = args.json.as_deref().filter(|_| !is_dash);
    let create = |file| OutputFile::create("--json", Some(file), &cx.files_read());
    let output = file.map(create).transpose()?;
    let create = |file| OutputFile::create("--candidates", Some(file), &cx.files_read());
    let mut candidates = args.candidates.as_deref().map(create).transpose()?;
    let mut write_line = |question: &QuestionCandidates<'_>| {
        let Some(file) = &mut candidates else { return Ok(()) };
        let line = serde_json::to_string(question)
            .map_err(Error::library("serde_json", "write candidates"))?;
        file.append(format!("{line}\n").as_bytes())
    };
    let take: Option<TakeCandidates<'_>> = args.candidates.is_some().then_some(&mut write_line);
    let run = cx.begin(Tool::Eval, &[]);
    let style =
        ProgressStyle::with_template("{pos:>6} of {len} questions {wide_bar:.cyan/dim} eta {eta}");
    let bar = ProgressBar::new(questions.len() as u64)
        .with_style(style.expect("the template is well formed"));
    let settings = &cx.app.settings().search;
    let asked = |asked: usize| bar.set_position(asked as u64);
    let evaluated = evaluate(&searcher, &questions, settings, rerank, &run, asked, take);
    bar.finish_and_clear();
    cx.finish(&run, evaluated.as_ref().err());
    let evaluation = evaluated?;
    candidates.map_or(Ok(()), OutputFile::finish)?;
    if is_dash {
        return Ok(cx.out.json(&evaluation)?);
    }
    print_figures(&mut cx.out, &evaluation)?;
    output.map_or(Ok(()), |output| Ok(write_json(output, &evaluation)?))
}

fn write_json(mut output: OutputFile, evaluation: &Evaluation) -> Result<()> {
    let json = serde_json::to_vec_pretty(evaluation)
        .map_err(Error::library("serde_json", "write the figures"))?;
    output.append(&json)?;
    output.finish()
}

fn print_figures(out: &mut Out, evaluation: &Evaluation) -> Result<()> {
    let Evaluation { questions, chunks, model, systems, .. } = evaluation;
    out.line(format!(
        "{} of {} with {model}; nDCG@10, and its 95 % interval",
        counted(*questions, "question"),
        counted(*chunks, "chunk"),
    ))?;
    let categories = &systems[0].categories;
    for (place, category) in categories.iter().enumerate() {
        let head = format!("{} ({})", category.category, category.questions);
        out.line(format!("\n{}", paint(BOLD, head)))?;
        out.line(paint(
            DIM,
            "  system        nDCG@10          interval   MRR@10     R@1    R@10    R@50",
        ))?;
        for system in systems {
            let figures = &system.categories[place];
            let (mean, range) = (&figures.mean, figures.ndcg_10_interval);
            out.line(format!(
                "  {:<12} {:>8.3} {:>8.3} to {:.3} {:>8.3} {:>7.3} {:>7.3} {:>7.3}",
                system.system,
                mean.ndcg_10,
                range.low,
                range.high,
                mean.mrr_10,
                mean.recall_1,
                mean.recall_10,
                mean.recall_50,
            ))?;
        }
    }
    let times = evaluation.search_ms.iter().map(|(system, ms)| format!("{system} {ms:.1} ms"));
    out.line(format!("\nMean of a search: {}", times.collect::<Vec<_>>().join(", ")))?;
    if let Some(error) = evaluation.calibration_error {
        out.line(format!("\nexpected calibration error of the confidence: {error:.3}"))?;
    }
    Ok(())
}

fn compare_runs(cx: &mut Context, args: &CompareArgs) -> Result<()> {
    /// The part of an [`Evaluation`] that is compared.
    #[derive(Deserialize)]
    struct Read {
        scores: Vec<QuestionScores>,
    }
    let read = |file: &Path| -> Result<Vec<QuestionScores>> {
        let unreadable = |source| Error::PathUnreadable { path: file.to_path_buf(), source };
        let bytes = std::fs::read(file).map_err(unreadable)?;
        let read: Read = serde_json::from_slice(&bytes).map_err(|error| Error::Argument {
            name: "file",
            value: file.display().to_string(),
            expected: format!("what `eval run --json` wrote ({error})"),
        })?;
        Ok(read.scores)
    };
    let compared = compare(&read(&args.before)?, &read(&args.after)?);
    if args.json {
        return cx.out.json(&json!({ "systems": compared }));
    }
    let out = &mut cx.out;
    if compared.is_empty() {
        return out.line("The two runs have no question in common.");
    }
    out.line(paint(
        DIM,
        "system       questions   before    after   difference, 95 %   better  worse",
    ))?;
    for Comparison { system, questions, before, after, difference_interval, better, worse } in
        compared
    {
        out.line(format!(
            "{system:<12} {questions:>9} {before:>8.3} {after:>8.3} {:>8.3} to {:<+7.3} {better:>7} {worse:>6}",
            difference_interval.low, difference_interval.high,
        ))?;
    }
    Ok(())
}
