//! The docs say what is true: their examples run, their commands parse, their links lead somewhere.

use std::{fs, path::Path};

use clap::Parser;
use hookline::{
    cli::{command::Cli, show},
    grpc::pb,
};
use serde_json::Value;

use crate::harness::{Database, Server};

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs.chain([root.join("README.md")]);
    let read = |path: std::path::PathBuf| {
        (path.strip_prefix(root).expect("inside").display().to_string(), fs::read_to_string(path).expect("text"))
    };
    pages.map(read).collect()
}

/// The blocks of a page with an info string, and the line at which each begins.
fn blocks(text: &str, info: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == format!("```{info}") {
            let body: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            found.push((number + 1, body.join("\n")));
        }
    }
    found
}

fn event(example: &Value) -> pb::EventInput {
    let mut fields = example["event"].as_object().expect("an event").clone();
    let mut payload = |name: &str| fields.remove(name).map(|value| value.to_string()).unwrap_or_default();
    let (data, previous) = (payload("data"), payload("previous"));
    let mut event: pb::Event = show::message("Event", Value::Object(fields)).expect("an event");
    (event.data, event.previous) = (data.into_bytes().into(), previous.into_bytes().into());
    pb::EventInput { kind: Some(pb::event_input::Kind::Event(event)), ..pb::EventInput::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_language_comes_out_as_it_says() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", "https://crm.example.com/hooks/").await.expect("creates");
    let option = |id: &str, label: &str| pb::FieldOption { id: id.into(), label: label.into() };
    let tier = pb::CatalogueField {
        path: "custom_fields.tier".into(),
        label: "Tier".into(),
        r#type: pb::FieldType::Enum.into(),
        options: vec![option("17", "Gold"), option("18", "Silver")],
        ..pb::CatalogueField::default()
    };
    let request = pb::SetFieldsRequest {
        parent: "accounts/42".into(),
        object: "deal".into(),
        fields: vec![tier],
        ..pb::SetFieldsRequest::default()
    };
    service.catalogue().set_fields(service.ask(request)).await.expect("sets");
    let language = blocks(include_str!("../../docs/automation-language.md"), "json example");
    let recipes = blocks(include_str!("../../docs/recipes.md"), "json example");
    assert!(language.len() >= 20 && recipes.len() == 10, "{} and {} examples", language.len(), recipes.len());
    let examples: Vec<_> = language.into_iter().chain(recipes).collect();
    for (line, text) in examples {
        let example: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("line {line}: {error}"));
        let draft: pb::Automation = show::message("Automation", example["automation"].clone()).expect("an automation");
        let request = pb::DryRunRequest {
            parent: "accounts/42".into(),
            source: Some(pb::dry_run_request::Source::Draft(draft.clone())),
            subject: Some(pb::dry_run_request::Subject::Event(event(&example))),
        };
        let answer = admin.explain().dry_run(admin.ask(request)).await;
        let answer = answer.unwrap_or_else(|status| panic!("line {line}: {status:?}")).into_inner();
        assert_eq!(Some(answer.would_run), example["runs"].as_bool(), "line {line}: {:#?}", answer.explanation);
        if answer.would_run {
            let sent: Vec<_> = answer
                .requests
                .iter()
                .map(|request| {
                    let text = || String::from_utf8_lossy(&request.body).into_owned();
                    let body: Value = match request.content_type.as_str() {
                        "" => "none".into(),
                        kind if kind.contains("json") => serde_json::from_slice(&request.body).expect("JSON"),
                        _ => text().into(),
                    };
                    let method = request.method().as_str_name().trim_start_matches("HTTP_METHOD_").to_owned();
                    let mut sent = serde_json::json!({"method": method, "path": request.path, "body": body});
                    for header in &request.headers {
                        sent["headers"][&header.name] = header.value.as_str().into();
                    }
                    if !request.failure.is_empty() {
                        sent["failure"] = request.failure.as_str().into();
                    }
                    sent
                })
                .collect();
            assert_eq!(Value::Array(sent), example["requests"], "line {line}");
        }
        admin.create_automation("42", draft).await.unwrap_or_else(|status| panic!("line {line}: {status:?}"));
    }
}

/// The words of a command line; quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    for one in line.chars() {
        match (quote, one) {
            (Some(open), one) if open == one => quote = None,
            (None, '\'' | '"') => quote = Some(one),
            (None, ' ') => found.push(String::new()),
            _ => found.last_mut().expect("a word").push(one),
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

#[test]
fn every_command_of_the_docs_parses() {
    let mut commands = 0;
    for (page, text) in pages() {
        let spans = text.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n'));
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        for line in lines.chain(spans).filter(|line| line.starts_with("hookline ") && !line.contains(['…', '|', '$']))
        {
            let line = line.split(" #").next().unwrap_or_default();
            // A sentence about a command names only its beginning.
            let names_only = words(line).len() <= 2;
            match Cli::try_parse_from(words(line)) {
                Ok(_) => commands += 1,
                Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => commands += 1,
                Err(error) if names_only && error.kind() != clap::error::ErrorKind::InvalidSubcommand => {}
                Err(error) => panic!("{page}: {line}: {error}"),
            }
        }
    }
    assert!(commands >= 20, "only {commands} commands were found");
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    let pages = pages();
    for (page, text) in &pages {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(page).parent().expect("a folder");
            let wanted = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            assert!(root.join(&wanted).exists(), "{page} links to {wanted}");
            let headings = pages.iter().find(|(name, _)| *name == wanted).map(|(_, text)| headings(text));
            assert!(
                anchor.is_empty() || headings.is_some_and(|all| all.contains(&anchor.to_owned())),
                "{page}: {target}"
            );
        }
    }
}

/// The anchors of a page's headings, as forges make them.
fn headings(text: &str) -> Vec<String> {
    let anchor = |title: &str| {
        let kept = title
            .to_lowercase()
            .chars()
            .filter(|one| one.is_alphanumeric() || " -_".contains(*one))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}
