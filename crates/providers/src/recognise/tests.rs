use super::*;

fn builtin() -> Recogniser {
    let files = crate::builtin::files().unwrap_or_else(|findings| {
        panic!("{}", findings.iter().map(crate::LoadError::render).collect::<String>())
    });
    Recogniser::compile(&files, &crate::CorrelationConfig::default()).unwrap_or_else(|findings| {
        panic!("{}", findings.iter().map(crate::LoadError::render).collect::<String>())
    })
}

#[test]
fn the_built_in_files_are_good() {
    let recogniser = builtin();
    assert_eq!(
        recogniser.providers().collect::<Vec<_>>(),
        ["fal", "replicate", "runway", "luma", "openai", "elevenlabs"]
    );
}
