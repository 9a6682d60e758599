//! Scores the jobs that the product found in a capture against the capture's truth.

use std::path::Path;
use std::process::ExitCode;

use spantally_tests::score::found::read_jobs;
use spantally_tests::score::{GroupBy, sample, score};
use spantally_tests::truth::read_truth;

const USAGE: &str = "usage: score CAPTURE_DIR JOBS.jsonl [--by scenario|provider|op|xtrace|wait]
       score CAPTURE_DIR --sample perfect|mistaken      prints jobs made from the truth, one a line";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool answers on its streams")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match arguments[..] {
        [capture, "--sample", kind @ ("perfect" | "mistaken")] => samples(Path::new(capture), kind),
        [capture, jobs] => figures(Path::new(capture), Path::new(jobs), None),
        [capture, jobs, "--by", word] => match GroupBy::ALL.into_iter().find(|by| by.as_str() == word) {
            Some(by) => figures(Path::new(capture), Path::new(jobs), Some(by)),
            None => Err(format!("--by {word}: not a field of the truth\n{USAGE}").into()),
        },
        _ => Err(USAGE.into()),
    };
    match answer {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("score: {error}");
            ExitCode::FAILURE
        }
    }
}

type Answer = Result<String, Box<dyn std::error::Error>>;

fn figures(capture: &Path, jobs: &Path, by: Option<GroupBy>) -> Answer {
    Ok(score(&read_truth(capture)?, &read_jobs(jobs)?, by).to_string())
}

fn samples(capture: &Path, kind: &str) -> Answer {
    let truth = read_truth(capture)?;
    let jobs = if kind == "perfect" { sample::perfect(&truth) } else { sample::mistaken(&truth) };
    Ok(sample::lines(&jobs))
}
