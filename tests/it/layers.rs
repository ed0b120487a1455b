//! The layers stay apart, and no room stands in a circle: read from the sources of the library.
//!
//! Whole files are read, but for what is only compiled for tests. An arrow runs from a file to each file whose items it
//! names, in a `use` or in place. What a room's `mod.rs` hands on counts as an arrow to the file that it comes from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{UseTree, visit::Visit};

/// Crates that a part of the house must not know.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("domain", &["tokio", "actix", "sea_orm", "tonic", "prost", "prost_types", "reqwest", "tracing", "futures"]),
    ("store", &["actix", "tonic", "prost", "prost_types", "reqwest"]),
    ("engine", &["tonic", "prost", "prost_types", "sea_orm"]),
    ("grpc", &["sea_orm", "actix", "reqwest"]),
];
/// What the domain is given and never takes: the time and chance.
const FORBIDDEN_IN_DOMAIN: [&str; 6] = ["SystemTime", "time::Instant", "Instant::now", "now_utc", "getrandom", "rand"];
/// The floors of the house, from the ground up: what stands on one knows lower ones only.
const FLOORS: [&[&str]; 12] = [
    &["domain"],
    &["clock", "config", "keys", "reload", "shares"],
    &["telemetry"],
    &["port"],
    &["store"],
    &["engine"],
    &["grpc"],
    &["web", "operations"],
    &["app"],
    &["cli"],
    &["demo", "fuzzing"],
    &["lib"],
];
/// Floors of leaves, which know nothing of the domain but its ground: the files that stand in its own folder.
const LEAVES: [usize; 3] = [1, 2, 3];
/// How many files a folder has at most; a folder with more of them is a maze.
const FILES_OF_FOLDER_MAX: usize = 16;

type Segments = Vec<String>;

/// A file of the library, below `src`.
struct Source {
    path: String,
    /// The paths that it names: those of the house from its root on (behind `crate`), others as they stand.
    names: BTreeSet<Segments>,
    /// The names that it imports, and what they stand for.
    imports: BTreeMap<String, Segments>,
    /// What it hands on: a name of its own, and what that stands for.
    hands_on: Vec<(Segments, Segments)>,
    is_async: bool,
}

/// The module that a file is.
fn module_of(path: &str) -> Segments {
    let mut segments: Segments = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib") {
        segments.pop();
    }
    segments
}

/// The folder of a file or a folder; the root's is empty.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Reads the paths of one file.
struct Reader<'a> {
    source: &'a mut Source,
    /// The module that is being read.
    module: Segments,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test")))
}

impl Reader<'_> {
    /// A path from the root of the house on, behind `crate`; others as they stand.
    fn resolve(&self, path: &[String]) -> Segments {
        let of_house = |module: &[String], rest: &[String]| [&["crate".to_owned()], module, rest].concat();
        let mut module = self.module.as_slice();
        match path.first().map(String::as_str) {
            Some("self") => of_house(module, &path[1..]),
            Some("super") => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                module = &module[..module.len().saturating_sub(ups)];
                of_house(module, &path[ups..])
            }
            _ => path.to_vec(),
        }
    }

    fn note(&mut self, path: &[String]) {
        self.source.names.insert(self.resolve(path));
    }

    fn leaves(&self, tree: &UseTree, prefix: &[String], found: &mut Vec<(String, Segments)>) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.leaves(&path.tree, &with(&path.ident), found),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.leaves(item, prefix, found)),
            UseTree::Glob(_) => found.push(("*".to_owned(), prefix.to_vec())),
            UseTree::Name(name) if name.ident == "self" => {
                found.push((prefix.last().cloned().unwrap_or_default(), prefix.to_vec()));
            }
            UseTree::Name(name) => found.push((name.ident.to_string(), with(&name.ident))),
            UseTree::Rename(rename) => found.push((rename.rename.to_string(), with(&rename.ident))),
        }
    }

    /// The paths in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Segments::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 && !path.is_empty() {
                        self.take(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.take(&mut path);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    self.take(&mut path);
                    colons = 0;
                }
            }
        }
        self.take(&mut path);
    }

    fn take(&mut self, path: &mut Segments) {
        if path.len() > 1 {
            self.note(path);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        self.leaves(&item.tree, &[], &mut found);
        let is_face = self.source.path.ends_with("mod.rs") && !matches!(item.vis, syn::Visibility::Inherited);
        for (name, path) in found {
            let path = self.resolve(&path);
            let own = [&["crate".to_owned()], self.module.as_slice()].concat();
            if is_face && path.starts_with(&own) {
                self.source.hands_on.push(([own.as_slice(), &[name]].concat(), path));
            } else {
                self.source.names.insert(path.clone());
                self.source.imports.insert(name, path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments: Segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&segments);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.source.is_async |= signature.asyncness.is_some();
        syn::visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.source.is_async = true;
        syn::visit::visit_expr_async(self, block);
    }
}

/// The sources of a house: paths below `src` and their texts.
fn read(texts: &[(String, String)]) -> Vec<Source> {
    let read = |(path, text): &(String, String)| {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (names, imports, hands_on) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let mut source = Source { path: path.clone(), names, imports, hands_on, is_async: false };
        Reader { source: &mut source, module: module_of(path) }.visit_file(&file);
        // `event::Event` is of whatever `event` was imported as.
        let whole = |name: &Segments| match source.imports.get(&name[0]) {
            Some(import) => [import, &name[1..]].concat(),
            None => name.clone(),
        };
        source.names = source.names.iter().map(whole).collect();
        source
    };
    texts.iter().map(read).collect()
}

/// The arrows between files: from, to, and the name that is taken.
fn arrows(sources: &[Source]) -> Vec<(&str, &str, String)> {
    let of_module: BTreeMap<Segments, &str> =
        sources.iter().map(|source| (module_of(&source.path), source.path.as_str())).collect();
    let handed: BTreeMap<&[String], &[String]> =
        sources.iter().flat_map(|source| &source.hands_on).map(|(own, path)| (&own[..], &path[..])).collect();
    let file_of = |name: &[String]| {
        let mut name = name.to_vec();
        // A face may hand on what another one hands on.
        for _ in 0..8 {
            let Some(cut) = (1..=name.len()).rev().find(|cut| handed.contains_key(&name[..*cut])) else { break };
            name = [handed[&name[..cut]], &name[cut..]].concat();
        }
        let inside = name.get(1..).filter(|_| name[0] == "crate")?;
        (0..=inside.len()).rev().find_map(|cut| of_module.get(&inside[..cut]).copied())
    };
    let mut found = Vec::new();
    for source in sources {
        for name in &source.names {
            if let Some(to) = file_of(name).filter(|to| *to != source.path) {
                found.push((source.path.as_str(), to, name.join("::")));
            }
        }
    }
    found
}

/// The part of the house that a file belongs to: a folder or a file right below `src`.
fn part_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn floor_of(path: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&part_of(path)))
}

/// Crates, clocks and chance where they must not be known.
fn forbidden(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let part = part_of(&source.path);
        let crates = FORBIDDEN.iter().filter(|(layer, _)| *layer == part).flat_map(|(_, crates)| *crates);
        let crates: Vec<_> = crates.collect();
        for name in &source.names {
            let path = format!("::{}::", name.join("::"));
            let is_world = |word: &str| part == "domain" && path.contains(&format!("::{word}::"));
            let banned = FORBIDDEN_IN_DOMAIN.iter().find(|word| is_world(word));
            if banned.is_some() || crates.iter().any(|known| name[0] == **known) {
                found.push(format!("{}: {part} must not know {}", source.path, name.join("::")));
            }
        }
        if part == "domain" && source.is_async {
            found.push(format!("{}: the domain must not be async", source.path));
        }
    }
    found
}

/// Arrows that do not run down.
fn upward(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to, name) in arrows(sources).into_iter().filter(|(from, to, _)| part_of(from) != part_of(to)) {
        let (Some(above), Some(below)) = (floor_of(from), floor_of(to)) else {
            found.push(format!("{from} or {to} is on no floor: add it to FLOORS"));
            continue;
        };
        let is_ground = below == 0 && folder_of(to) == "domain";
        if above <= below {
            found.push(format!("{from} must not know {to}: {name}"));
        } else if LEAVES.contains(&above) && below == 0 && !is_ground {
            found.push(format!("{from} must not know {to}: {name} is no ground of the domain"));
        }
    }
    found
}

/// Circles: of the files and folders of one folder, where a folder is all that stands in it. A module file and its own
/// children count as one.
fn circles(sources: &[Source]) -> Vec<String> {
    // In each folder: which of its members knows which, and by what.
    let mut known: BTreeMap<&str, BTreeMap<(&str, &str), String>> = BTreeMap::new();
    for (from, to, name) in arrows(sources) {
        let mut ends = from.char_indices().rev().filter(|(_, mark)| *mark == '/').map(|(at, _)| at);
        let shared = ends.find(|at| to.get(..=*at) == from.get(..=*at));
        let folder = shared.map_or("", |at| &from[..at]);
        let inside = shared.map_or(0, |at| at + 1);
        let of = |path: &'_ str| path[inside..].find('/').map_or(path.len(), |at| inside + at);
        let (one, other) = (&from[..of(from)], &to[..of(to)]);
        // A module file and its own children count as one.
        let is_own = |module: &str, child: &str| {
            let folder_of_child = folder_of(child.trim_end_matches("/mod.rs"));
            module == "lib.rs" || module.ends_with("mod.rs") && folder_of(module) == folder_of_child
        };
        if !is_own(from, to) && !is_own(to, from) {
            known.entry(folder).or_default().entry((one, other)).or_insert(format!("{from} -> {to}: {name}"));
        }
    }
    let mut found = Vec::new();
    for (folder, known) in known {
        // What knows nobody that is left is in no circle, and neither is what nobody knows that is left.
        let mut left: BTreeSet<(&str, &str)> = known.keys().copied().collect();
        loop {
            let before = left.len();
            let knows: BTreeSet<_> = left.iter().map(|(one, _)| *one).collect();
            let is_known: BTreeSet<_> = left.iter().map(|(_, other)| *other).collect();
            left.retain(|(one, other)| knows.contains(other) && is_known.contains(one));
            if left.len() == before {
                break;
            }
        }
        if !left.is_empty() {
            let ties: Vec<_> = left.iter().map(|tie| format!("  {}", known[tie])).collect();
            found.push(format!("a circle in src/{folder}:\n{}", ties.join("\n")));
        }
    }
    found
}

fn sources_below(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if path.is_dir() && !["tests", "model_tests"].contains(&name) {
            sources_below(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && path != root.join("main.rs") {
            let below = path.strip_prefix(root).expect("below the root").to_str().expect("a name").to_owned();
            found.push((below, fs::read_to_string(&path).expect("text")));
        }
    }
}

fn house() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources_below(&root, &root, &mut found);
    found.sort();
    found
}

#[test]
fn the_layers_stay_apart_and_nothing_stands_in_a_circle() {
    let sources = read(&house());
    let count = arrows(&sources).len();
    assert!(sources.len() > 150 && count > 1_000, "{} files and {count} arrows were read", sources.len());
    for found in [forbidden(&sources), upward(&sources), circles(&sources)] {
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn no_folder_is_a_maze() {
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    for (path, _) in house() {
        *files.entry(folder_of(&path).to_owned()).or_default() += 1;
    }
    for (folder, count) in files {
        assert!(count <= FILES_OF_FOLDER_MAX, "src/{folder} has {count} files: find its rooms");
    }
}

/// A house of a few files.
fn small(files: &[(&str, &str)]) -> Vec<Source> {
    read(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
}

#[test]
fn the_check_sees_what_must_not_be_known() {
    let behind_tests = "#[cfg(test)]\npub const FOR_TESTS: u8 = 1;\nfn f() { sea_orm::now(); }\n";
    assert_eq!(
        forbidden(&small(&[("engine/a.rs", behind_tests)])).len(),
        1,
        "what stands behind a test's item is read"
    );
    assert_eq!(forbidden(&small(&[("domain/a.rs", "pub async fn f() {}")])).len(), 1);
    assert_eq!(forbidden(&small(&[("domain/a.rs", "fn f() { std::time::Instant::now(); }")])).len(), 1);
    assert_eq!(forbidden(&small(&[("domain/a.rs", "fn f() { assert!(tokio::x()); }")])).len(), 1, "in a macro, too");
    for fine in
        ["// tokio::spawn is not for us", "#[cfg(test)]\nmod tests { use tokio::spawn; }", "use serde::Serialize;"]
    {
        assert!(forbidden(&small(&[("domain/a.rs", fine)])).is_empty(), "{fine}");
    }
}

#[test]
fn the_check_sees_arrows_that_run_up() {
    let with = |path: &'static str, text: &'static str| {
        upward(&small(&[
            (path, text),
            ("store/mod.rs", "mod lane;\npub use self::lane::Store;"),
            ("store/lane.rs", "pub struct Store;"),
            ("domain/id.rs", ""),
            ("domain/event/mod.rs", ""),
        ]))
    };
    assert_eq!(with("domain/a.rs", "fn f(store: crate::store::Store) {}").len(), 1);
    assert_eq!(with("domain/a.rs", "use super::super::store::Store;").len(), 1);
    assert_eq!(with("keys.rs", "use crate::domain::event::Event;").len(), 1, "a leaf knows the ground only");
    assert_eq!(with("attic.rs", "use crate::store::Store;").len(), 1, "each part has its floor");
    assert!(with("keys.rs", "use crate::domain::id::AccountId;").is_empty());
    assert!(with("engine/a.rs", "use crate::{domain::event::Event, store::Store};").is_empty());
}

#[test]
fn the_check_sees_circles() {
    let files = [("domain/a.rs", "use super::b::B;"), ("domain/b.rs", "use crate::domain::{a::A};")];
    assert_eq!(circles(&small(&files)).len(), 1, "of two files");
    let folders = [
        ("domain/one/mod.rs", "pub mod a;\npub mod b;"),
        ("domain/one/a.rs", "use crate::domain::two::C;"),
        ("domain/one/b.rs", "pub struct B;"),
        ("domain/two/mod.rs", "mod c;\nmod d;\npub use self::{c::C, d::D};"),
        ("domain/two/c.rs", "pub struct C;"),
        ("domain/two/d.rs", "fn f() { crate::domain::one::b::B; }"),
    ];
    assert_eq!(circles(&small(&folders)).len(), 1, "of two folders, though no file is in one");
    let three = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
    assert_eq!(circles(&small(&three)).len(), 1);
    let below = [
        ("engine/mod.rs", "mod a;\nuse self::a::b::B;\npub struct E;"),
        ("engine/a/mod.rs", "pub mod b;"),
        ("engine/a/b.rs", "use crate::engine::E;\npub struct B;"),
    ];
    assert_eq!(circles(&small(&below)).len(), 1, "of a module file and what stands deeper than its children");
    let by_module = [("cli/a.rs", "use crate::cli;\nfn f(b: cli::b::B) {}"), ("cli/b.rs", "use super::a::A;")];
    assert_eq!(circles(&small(&by_module)).len(), 1, "by the name of a module");
    let ground = [("domain/id.rs", "use super::event::Event;"), ("domain/event/mod.rs", "use super::id::Id;")];
    assert_eq!(circles(&small(&ground)).len(), 1, "of the ground and a room");
    for fine in [
        &[("engine/mod.rs", "mod a;\nuse self::a::A;\npub struct E;"), ("engine/a.rs", "use super::E;")][..],
        &[("domain/a.rs", "use super::b::B;"), ("domain/b.rs", "#[cfg(test)]\nmod tests { use crate::domain::a::A; }")],
        &[
            ("domain/a.rs", "use super::b::B;\nuse super::c::C;"),
            ("domain/b.rs", "use super::c::C;"),
            ("domain/c.rs", ""),
        ],
    ] {
        assert!(circles(&small(fine)).is_empty(), "{:?}", circles(&small(fine)));
    }
}
