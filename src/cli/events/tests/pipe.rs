use std::io::Cursor;

use super::*;

const EVENT: &str = r#"{"meta": {"action": "change"}}"#;

async fn lines(text: String, position: u64, no_skip: bool) -> Vec<(u64, Result<bool, String>)> {
    let (sender, mut lines) = mpsc::channel(10);
    std::thread::spawn(move || read(Cursor::new(text), position, no_skip, &sender));
    let mut found = Vec::new();
    while let Some(read) = lines.recv().await {
        match read {
            Ok(line) => found.push((line.number, line.found.map(|event| event.is_some()))),
            // Not a number of a line.
            Err(Cut(why)) => found.push((0, Err(why))),
        }
    }
    found
}

#[tokio::test]
async fn lines_are_numbered_from_where_the_input_begins() {
    let text = format!("{EVENT}\n\n{EVENT}\n{EVENT}");
    let all = vec![(1, Ok(true)), (2, Ok(false)), (3, Ok(true)), (4, Ok(true))];
    assert_eq!(lines(text.clone(), 0, false).await, all);
    assert_eq!(lines(text.clone(), 2, false).await, all[2..]);
    assert_eq!(lines(text.clone(), 4, false).await, []);
    let on: Vec<_> = all.into_iter().map(|(number, found)| (number + 7, found)).collect();
    assert_eq!(lines(text, 7, true).await, on);
}

#[tokio::test]
async fn what_is_no_event_takes_its_number() {
    let long = format!(r#"{{"text": "{}"}}"#, "x".repeat(EVENT_BYTES_MAX));
    let found = lines(format!("nothing\n{long}\n{EVENT}\n"), 0, false).await;
    assert!(found[0].1.as_ref().expect_err("no JSON").contains("no JSON"), "{found:?}");
    assert!(found[1].1.as_ref().expect_err("too long").contains("more than"), "{found:?}");
    assert_eq!(found[2], (3, Ok(true)));
}

/// What was cut in the middle of a line is no line: it is read again, whole, after the next start.
#[tokio::test]
async fn a_line_without_an_end_does_not_count() {
    let cut = lines(format!("{EVENT}\n{}", &EVENT[..10]), 0, false).await;
    assert_eq!((cut.len(), &cut[0], cut[1].0), (2, &(1, Ok(true)), 0));
    assert!(cut[1].1.as_ref().expect_err("cut").contains("line 2 has no end"), "{cut:?}");
    let whole = lines(format!("{EVENT}\n{EVENT}"), 0, false).await;
    assert_eq!(whole[1], (2, Ok(true)), "an event without an end is one");
}

#[test]
fn the_position_is_kept_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("position");
    assert_eq!(position(&path).ok(), Some(0));
    keep(&path, 41).expect("keeps");
    keep(&path, 42).expect("keeps");
    assert_eq!(position(&path).ok(), Some(42));
    fs::write(&path, "many").expect("writes");
    assert!(position(&path).is_err_and(|CliError(why)| why.contains("remove it")));
}
