//! The layers stay apart: what each part of the house must not know, read from its sources.

use std::{fs, path::Path};

const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("domain", &["tokio", "actix", "sea_orm", "tonic", "prost", "reqwest", "tracing", "async "]),
    ("store", &["actix", "tonic", "prost", "reqwest"]),
    ("engine", &["tonic", "prost", "sea_orm"]),
    ("grpc", &["sea_orm", "actix", "reqwest"]),
];
const FORBIDDEN_IN_DOMAIN: [&str; 4] = ["SystemTime", "Instant::now", "now_utc", "getrandom"];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).expect("text")));
        }
    }
}

fn faults(layer: &str, forbidden: &[&str], files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in forbidden {
                let is_path = |word: &str| line.contains(&format!("{word}::")) || line.contains(&format!("use {word}"));
                let is_hit =
                    if word.ends_with(' ') || word.contains("::") { line.contains(word) } else { is_path(word) };
                let in_domain = layer == "domain" && FORBIDDEN_IN_DOMAIN.iter().any(|banned| line.contains(banned));
                if is_hit || in_domain {
                    found.push(format!("{path}:{}: {layer} must not know {word}: {line}", number + 1));
                }
            }
        }
    }
    found
}

#[test]
fn no_layer_imports_what_it_must_not_know() {
    for (layer, forbidden) in FORBIDDEN {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer), &mut files);
        files.retain(|(path, _)| !path.ends_with("tests.rs"));
        assert!(files.len() > 2, "{layer} has sources");
        let found = faults(layer, forbidden, &files);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn the_check_sees_a_forbidden_import() {
    let file = |text: &str| vec![("a.rs".to_owned(), text.to_owned())];
    assert_eq!(faults("engine", &["sea_orm"], &file("use sea_orm::Value;")).len(), 1);
    assert_eq!(faults("domain", &["async "], &file("pub async fn f() {}")).len(), 1);
    assert_eq!(faults("domain", &["tokio"], &file("// tokio::spawn is not for us")).len(), 0);
}
