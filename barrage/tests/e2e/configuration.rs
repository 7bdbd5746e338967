//! Settings by file, environment and flag, and what is said of wrong ones.

use std::process::Output;

use toml::Table;

use crate::support::server::{run, run_with};

/// The exit code for a configuration that is not accepted.
const EXIT_CONFIG: i32 = 78;

fn printed(output: &Output) -> Table {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("# The configuration is good."), "{text}");
    text.parse().expect("what is in force is TOML")
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(EXIT_CONFIG), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every setting by its dotted name.
fn flat(table: &Table) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value.as_table() {
            Some(inner) => {
                let inner = flat(inner).into_iter();
                all.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            None => all.push((name.clone(), value.to_string())),
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn the_example_file_tells_every_setting_with_its_default() {
    let defaults = flat(&printed(&run(&["check-config"], "").await));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../barrage.example.toml");
    let read: Table = std::fs::read_to_string(example).unwrap().parse().unwrap();
    assert_eq!(flat(&read), defaults);
    let taken = printed(&run(&["check-config", "--config", example], "").await);
    assert_eq!(flat(&taken), defaults);
}

#[tokio::test]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("barrage.toml");
    let text = "data_dir = 'of-the-file'\n[http]\nlisten = '127.0.0.1:1'\n[rtmp]\nlisten = '127.0.0.1:1'\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let environment = [
        ("http.listen", "127.0.0.1:2"),
        ("rtmp.listen", "127.0.0.1:2"),
    ];
    let args = [
        "check-config",
        "--config",
        file,
        "--rtmp-listen",
        "127.0.0.1:3",
    ];
    let taken = printed(&run_with(&args, &environment, "").await);
    assert_eq!(taken["data_dir"].as_str(), Some("of-the-file"));
    assert_eq!(taken["http"]["listen"].as_str(), Some("127.0.0.1:2"));
    assert_eq!(taken["rtmp"]["listen"].as_str(), Some("127.0.0.1:3"));

    let args = [
        "check-config",
        "--set",
        "ingest.grace_ms=7",
        "--data-dir",
        "/elsewhere",
    ];
    let taken = printed(&run_with(&args, &[("ingest.grace_ms", "6")], "").await);
    assert_eq!(taken["ingest"]["grace_ms"].as_integer(), Some(7));
    assert_eq!(taken["data_dir"].as_str(), Some("/elsewhere"));
}

#[tokio::test]
async fn an_unknown_setting_is_an_error_that_names_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("barrage.toml");
    std::fs::write(&file, "[http]\nlisen = '127.0.0.1:1'\n").unwrap();
    let file = file.to_str().unwrap();
    let told = complaint(&run(&["check-config", "--config", file], "").await);
    assert!(
        told.contains(file) && told.contains("`http.lisen`"),
        "{told}"
    );
    assert!(told.contains("did you mean `http.listen`?"), "{told}");

    let told = complaint(&run_with(&["check-config"], &[("ingest.grace_mss", "1")], "").await);
    assert!(told.contains("`BARRAGE__INGEST__GRACE_MSS`"), "{told}");
    assert!(told.contains("did you mean `ingest.grace_ms`?"), "{told}");

    let told = complaint(&run(&["check-config", "--set", "log.levle=debug"], "").await);
    assert!(told.contains("did you mean `log.level`?"), "{told}");

    // `serve` says the same, and makes nothing.
    let data = dir.path().join("data");
    let serve = [
        "serve",
        "--config",
        file,
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let told = complaint(&run(&serve, "").await);
    assert!(told.contains("did you mean `http.listen`?"), "{told}");
    assert!(!data.exists());
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_named() {
    for (setting, words) in [
        (
            "http.listen=8080",
            "`http.listen` takes an address and a port",
        ),
        ("ingest.grace_ms=soon", "`ingest.grace_ms` takes"),
        ("ingest.silence_ms=0", "`ingest.silence_ms` is 0"),
        ("log.level=,,=", "log.level"),
        ("log.format=xml", "`log.format`: unknown variant `xml`"),
        ("rtmp.max_connections=-1", "`rtmp.max_connections`"),
        ("hls.part_ms=5", "hls.part_ms must be between"),
        ("hls.window_s=1", "hls.window_s must be at least"),
        ("data_dir=", "`data_dir` is empty"),
    ] {
        let told = complaint(&run(&["check-config", "--set", setting], "").await);
        assert!(told.contains(words), "{setting}: {told}");
    }
    let told = complaint(&run(&["check-config", "--config", "/nowhere.toml"], "").await);
    assert!(told.contains("failed to read /nowhere.toml"), "{told}");
}

#[tokio::test]
async fn help_tells_a_newcomer_where_to_begin() {
    let help = run(&["--help"], "").await;
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for word in [
        "serve",
        "demo",
        "check-config",
        "admin",
        "Start with `barrage serve`",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let serve = run(&["serve", "--help"], "").await;
    let text = String::from_utf8(serve.stdout).unwrap();
    for word in [
        "--config",
        "--data-dir",
        "--http-listen",
        "--rtmp-listen",
        "--webrtc-listen",
        "8080",
        "1935",
        "8189",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let nonsense = run(&["serv"], "").await;
    assert_eq!(nonsense.status.code(), Some(2));
    let text = String::from_utf8(nonsense.stderr).unwrap();
    assert!(text.contains("serve"), "{text}");
}
