use prost::Message;

use super::*;
use crate::domain::{attempt, event::RejectionReason};

const TOKEN_FAULTS: [TokenFault; 10] = [
    TokenFault::Missing,
    TokenFault::Malformed,
    TokenFault::Algorithm,
    TokenFault::Key,
    TokenFault::Expired,
    TokenFault::NotYetValid,
    TokenFault::Audience,
    TokenFault::Issuer,
    TokenFault::Claims,
    TokenFault::Identity,
];
const OTHERS: [ErrorReason; 17] = [
    ErrorReason::InvalidArgument,
    ErrorReason::PermissionDenied,
    ErrorReason::NotFound,
    ErrorReason::AlreadyExists,
    ErrorReason::LimitReached,
    ErrorReason::StaleEtag,
    ErrorReason::Unavailable,
    ErrorReason::DatabaseTrouble,
    ErrorReason::Starting,
    ErrorReason::ShuttingDown,
    ErrorReason::CursorExpired,
    ErrorReason::SlowReader,
    ErrorReason::MessageTooLarge,
    ErrorReason::MessageTimeout,
    ErrorReason::TooManyCalls,
    ErrorReason::Full,
    ErrorReason::Internal,
];

/// The reasons of a section of the page: the first column of its table, each with a remedy.
fn listed(page: &str, section: &str) -> Vec<String> {
    let text = page.split("\n## ").find(|text| text.starts_with(section)).unwrap_or_else(|| panic!("no {section}"));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.iter().all(|cell| cell.len() > 1), "every cell says something: {row}");
        cells[..cells.len() - 2].join(" ").replace('`', "")
    })
    .collect()
}

#[test]
fn the_page_lists_every_reason_and_no_other() {
    let page = include_str!("../../../../docs/errors.md");
    let reasons = OTHERS
        .into_iter()
        .chain(TOKEN_FAULTS.map(ErrorReason::Token))
        .chain(Precondition::ALL.map(ErrorReason::Precondition));
    let mut known: Vec<_> = reasons
        .map(|reason| {
            let code = serde_json::to_value(format!("{:?}", reason.code())).expect("a word");
            let code = code.as_str().expect("text").chars().fold(String::new(), |mut word, letter| {
                if letter.is_uppercase() && !word.is_empty() {
                    word.push('_');
                }
                word.push(letter.to_ascii_uppercase());
                word
            });
            format!("{} {code}", reason.as_str())
        })
        .collect();
    let mut shown = listed(page, "Refused calls");
    known.sort();
    shown.sort();
    assert_eq!(shown, known);
    let mut known: Vec<_> = RejectionReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    let mut shown = listed(page, "Rejected events");
    known.sort();
    shown.sort();
    assert_eq!(shown, known);
    let mut known: Vec<_> = attempt::Reason::WORDS.iter().map(|(_, word)| (*word).to_owned()).collect();
    let mut shown = listed(page, "Executions that are");
    known.sort();
    shown.sort();
    assert_eq!(shown, known);
}

#[test]
fn every_fault_is_named_as_far_as_there_is_room() {
    let violation = |at: usize, size: usize| Violation { field: format!("f[{at}]"), message: "x".repeat(size) };
    let few = refused(&Refusal::Invalid((0..3).map(|at| violation(at, 20)).collect()));
    let named = |status: &Status| status.get_error_details().bad_request().expect("faults").field_violations.clone();
    assert_eq!(named(&few).len(), 3);
    let many = named(&refused(&Refusal::Invalid((0..100).map(|at| violation(at, 20)).collect())));
    assert_eq!(many.len(), VIOLATIONS_MAX + 1);
    assert_eq!(many[VIOLATIONS_MAX].description, "and 75 more");
    let large = refused(&Refusal::Invalid((0..20).map(|at| violation(at, 1_000)).collect()));
    let encoded = tonic_types::pb::BadRequest {
        field_violations: named(&large)
            .iter()
            .map(|found| tonic_types::pb::bad_request::FieldViolation {
                field: found.field.clone(),
                description: found.description.clone(),
                ..Default::default()
            })
            .collect(),
    };
    assert!(encoded.encoded_len() <= VIOLATIONS_BYTES_MAX + 32, "{} bytes", encoded.encoded_len());
    assert_eq!(named(&large).last().expect("one").description, "and 16 more");
}
