//! Shows how well captures are stitched: the scores, how right the joins are, what was missed and why.

use std::process::ExitCode;

use spantally_stitch::Job;
use spantally_tests::fixtures::CAPTURES;
use spantally_tests::report::{measured::measured, misses};
use spantally_tests::stream::stream;
use spantally_tests::traffic::Traffic;
use spantally_tests::traffic::steps::STEPS;
use spantally_tests::traffic::variant::VARIANTS;

const USAGE: &str = "usage: stitching report             all that is measured: docs/stitching-measured.md
       stitching misses [PART]      jobs that are not found exactly, of the captures, changed captures and steps whose name has PART
       stitching show NAME JOB      the found jobs that hold calls of a true one;
                                    NAME is a capture, or `CAPTURE, CHANGE`";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool answers on its streams")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match arguments[..] {
        ["report"] => measured().map(|measured| measured.page),
        ["misses"] => missed(""),
        ["misses", part] => missed(part),
        ["show", name, intent] => show(name, intent),
        _ => Err(USAGE.into()),
    };
    match answer {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stitching: {error}");
            ExitCode::FAILURE
        }
    }
}

type Answer = Result<String, Box<dyn std::error::Error>>;

fn show(name: &str, intent: &str) -> Answer {
    let variant = VARIANTS.iter().find(|variant| format!("{}, {}", variant.capture, variant.change) == name);
    let traffic = match variant {
        Some(variant) => variant.traffic()?,
        None => Traffic::read(name)?,
    };
    let (found, _) = stream(&traffic.encode())?;
    let jobs: Vec<&Job> = found.settled().map(|settled| &*settled.job).collect();
    Ok(misses::show(&traffic.truth, &jobs, intent))
}

fn missed(part: &str) -> Answer {
    let mut text = String::new();
    for capture in CAPTURES.iter().filter(|capture| capture.contains(part)) {
        text += &misses_of(capture, &Traffic::read(capture)?)?;
    }
    for variant in VARIANTS {
        let name = format!("{}, {}", variant.capture, variant.change);
        if !part.is_empty() && name.contains(part) {
            text += &misses_of(&name, &variant.traffic()?)?;
        }
    }
    for step in STEPS {
        let name = format!("{}, {}", step.capture, step.what);
        if !part.is_empty() && name.contains(part) {
            text += &misses_of(&name, &step.traffic()?)?;
        }
    }
    Ok(text)
}

fn misses_of(name: &str, traffic: &Traffic) -> Answer {
    let (found, _) = stream(&traffic.encode())?;
    let jobs: Vec<&Job> = found.settled().map(|settled| &*settled.job).collect();
    let missed = misses::misses(&traffic.truth, &jobs);
    Ok(format!("\n### {name}\n\n{}", misses::table(&missed)))
}
