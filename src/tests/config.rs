use clap::Args;

use super::*;

#[test]
fn the_docs_list_every_setting() {
    let docs = include_str!("../../docs/operations.md");
    let serve = ServeArgs::augment_args(clap::Command::new("serve"));
    for argument in serve.get_arguments().filter(|argument| argument.get_env().is_some()) {
        let variable = argument.get_env().and_then(|name| name.to_str()).expect("a name");
        let default = argument.get_default_values().first().and_then(|value| value.to_str()).unwrap_or("");
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{variable}`")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for {variable}"));
        assert!(row.contains(default), "docs/operations.md has another default of {variable} than {default}");
    }
}
