//! Sees to it that there is a web app to embed, and embeds it anew when it changes.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=../web/dist");
    if !Path::new("../web/dist/index.html").exists() {
        println!(
            "cargo::error=web/dist is missing: run `make build`, which builds the web app first"
        );
    }
}
