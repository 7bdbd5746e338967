//! Replays the corpora: what a fuzzer once found stays found.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, seeds};

/// Set to write the seeds anew, after an encoder has changed.
const WRITE_SEEDS: &str = "WRITE_SEEDS";

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

#[test]
fn every_input_of_every_corpus_is_survived() {
    for (target, run) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            println!("{}", path.display());
            run(&input);
            // And every beginning of it, for a peer may stop anywhere.
            for end in 0..input.len().min(600) {
                run(&input[..end]);
            }
            inputs += 1;
        }
        assert!(inputs > 0, "{target} has no corpus");
    }
}

#[test]
fn the_seeds_are_what_our_encoders_write() {
    for (target, _) in TARGETS {
        for (name, bytes) in seeds::of(target) {
            let path = corpus(target).join(format!("seed_{name}"));
            if std::env::var_os(WRITE_SEEDS).is_some() {
                fs::create_dir_all(corpus(target)).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            let have = fs::read(&path).unwrap_or_default();
            assert!(
                have == bytes,
                "{} differs; write the seeds anew with {WRITE_SEEDS}=1",
                path.display()
            );
        }
    }
}
