//! Conditions: a tree of groups over clauses `field operator value`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    decimal::Decimal,
    event::Action,
    json::{Json, Node},
    path::FieldPath,
    refusal::Violations,
    timestamp::{Timestamp, parse_date},
};

/// How deep groups may nest.
pub const GROUP_DEPTH_MAX: usize = 5;
/// How many clauses a tree may have.
pub const CLAUSES_MAX: usize = 100;
/// How many values `in` and `not_in` may list.
pub const VALUES_MAX: usize = 100;
/// How long a text to compare with may be.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// How much of a value an explanation shows.
const SHOWN_CHARS_MAX: usize = 120;

/// How the members of a group combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Every member holds.
    All,
    /// At least one member holds.
    Any,
    /// No member holds.
    None,
}

/// A group as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// How the members combine.
    #[serde(rename = "match")]
    pub how: Match,
    /// The members.
    pub conditions: Vec<MemberSpec>,
}

/// A member of a group as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberSpec {
    /// A group inside the group.
    Group(GroupSpec),
    /// A comparison.
    Clause(ClauseSpec),
}

/// A clause as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClauseSpec {
    /// The path of the field.
    pub field: String,
    /// What must be true.
    pub operator: Operator,
    /// What to compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    /// Text, a date or a time.
    Text(String),
    /// A number's source text.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// Null.
    Null,
}

/// What a clause asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the meaning; the wire documents each")]
pub enum Operator {
    Changed,
    ChangedTo,
    ChangedFrom,
    Is,
    IsNot,
    In,
    NotIn,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    Gt,
    Gte,
    Lt,
    Lte,
    Between,
    Before,
    After,
    IsEmpty,
    IsNotEmpty,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Operator; 20] = [
        Operator::Changed,
        Operator::ChangedTo,
        Operator::ChangedFrom,
        Operator::Is,
        Operator::IsNot,
        Operator::In,
        Operator::NotIn,
        Operator::Contains,
        Operator::NotContains,
        Operator::StartsWith,
        Operator::EndsWith,
        Operator::Gt,
        Operator::Gte,
        Operator::Lt,
        Operator::Lte,
        Operator::Between,
        Operator::Before,
        Operator::After,
        Operator::IsEmpty,
        Operator::IsNotEmpty,
    ];

    /// Whether it asks that a change happened.
    pub fn is_active(self) -> bool {
        matches!(self, Operator::Changed | Operator::ChangedTo | Operator::ChangedFrom)
    }

    /// The operator that this one negates, for the negative ones.
    fn positive(self) -> Option<Operator> {
        match self {
            Operator::IsNot => Some(Operator::Is),
            Operator::NotIn => Some(Operator::In),
            Operator::NotContains => Some(Operator::Contains),
            Operator::IsNotEmpty => Some(Operator::IsEmpty),
            _ => None,
        }
    }

    /// How many values it takes, from and to.
    fn arity(self) -> (usize, usize) {
        match self {
            Operator::Changed | Operator::IsEmpty | Operator::IsNotEmpty => (0, 0),
            Operator::Between => (2, 2),
            Operator::In | Operator::NotIn => (1, VALUES_MAX),
            _ => (1, 1),
        }
    }
}

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct State<'e> {
    /// What happened.
    pub action: Action,
    /// The object's data.
    pub data: &'e Node<'e>,
    /// The old values, where the event has any.
    pub previous: Option<&'e Node<'e>>,
}

/// Conditions that are ready to be decided.
#[derive(Debug, Clone)]
pub struct Conditions {
    root: Option<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    how: Match,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
enum Member {
    Group(Group),
    Clause(Clause),
}

#[derive(Debug, Clone)]
struct Clause {
    field: FieldPath,
    operator: Operator,
    operands: Vec<Operand>,
}

#[derive(Debug, Clone)]
enum Operand {
    Null,
    Boolean(bool),
    Number(Decimal, String),
    Date(i32, String),
    Instant(Timestamp, String),
    Text(String),
}

/// How one clause was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where the clause stands in the tree.
    pub path: String,
    /// The field.
    pub field: String,
    /// The operator.
    pub operator: Operator,
    /// What was compared, in words.
    pub compared: String,
    /// Whether it held.
    pub held: bool,
}

impl Conditions {
    /// Checks a tree and makes it ready. Faults are noted under `conditions…`.
    pub fn compile(spec: Option<&GroupSpec>, action: Action, at: &str, faults: &mut Violations) -> Option<Self> {
        let Some(spec) = spec else {
            return Some(Self { root: None });
        };
        let mut compiler = Compiler { action, clauses: 0, faults };
        let root = compiler.group(spec, at, 1);
        if compiler.clauses > CLAUSES_MAX {
            let count = compiler.clauses;
            faults.add(at, format!("has {count} clauses, the limit is {CLAUSES_MAX}"));
            return None;
        }
        root.map(|root| Self { root: Some(root) })
    }

    /// Whether they hold.
    pub fn hold(&self, state: State<'_>) -> bool {
        self.root.as_ref().is_none_or(|group| group.holds(state))
    }

    /// How every clause is decided, in the order of the tree.
    pub fn explain(&self, state: State<'_>) -> Vec<Explanation> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.explain("conditions", state, &mut found);
        }
        found
    }

    /// Whether any clause asks that a change happened.
    pub fn ask_for_change(&self) -> bool {
        self.root.as_ref().is_some_and(Group::asks_for_change)
    }
}

struct Compiler<'f> {
    action: Action,
    clauses: usize,
    faults: &'f mut Violations,
}

impl Compiler<'_> {
    fn group(&mut self, spec: &GroupSpec, at: &str, depth: usize) -> Option<Group> {
        if depth > GROUP_DEPTH_MAX {
            self.faults.add(at, format!("groups nest deeper than {GROUP_DEPTH_MAX}"));
            return None;
        }
        if spec.conditions.is_empty() {
            self.faults.add(format!("{at}.conditions"), "a group must have at least one member");
            return None;
        }
        let mut members = Vec::with_capacity(spec.conditions.len());
        for (index, member) in spec.conditions.iter().enumerate() {
            let at = format!("{at}.conditions[{index}]");
            members.push(match member {
                MemberSpec::Group(group) => self.group(group, &format!("{at}.group"), depth + 1).map(Member::Group),
                MemberSpec::Clause(clause) => self.clause(clause, &format!("{at}.clause")).map(Member::Clause),
            });
        }
        let members = members.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Group { how: spec.how, members })
    }

    fn clause(&mut self, spec: &ClauseSpec, at: &str) -> Option<Clause> {
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return None;
        }
        let field =
            FieldPath::parse(&spec.field).map_err(|(offset, message)| format!("{message} at column {}", offset + 1));
        let field = self.faults.take(format!("{at}.field"), field);
        if spec.operator.is_active() && self.action == Action::Delete {
            self.faults
                .add(format!("{at}.operator"), "nothing changes on delete: use an operator that looks at the state");
            return None;
        }
        let (least, most) = spec.operator.arity();
        if !(least..=most).contains(&spec.values.len()) {
            let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let given = spec.values.len();
            self.faults.add(format!("{at}.values"), format!("this operator takes {wanted} values, {given} given"));
            return None;
        }
        let operands: Vec<_> = (spec.values.iter().enumerate())
            .map(|(index, value)| self.operand(spec.operator, value, &format!("{at}.values[{index}]")))
            .collect();
        let operands = operands.into_iter().collect::<Option<Vec<_>>>()?;
        if spec.operator == Operator::Between
            && let [low, high] = operands.as_slice()
        {
            match low.order(high) {
                None => {
                    self.faults.add(format!("{at}.values"), "both must be numbers, both dates or both times");
                    return None;
                }
                Some(Ordering::Greater) => {
                    self.faults.add(format!("{at}.values"), "the first must not be greater than the second");
                    return None;
                }
                Some(_) => {}
            }
        }
        Some(Clause { field: field?, operator: spec.operator, operands })
    }

    fn operand(&mut self, operator: Operator, value: &Scalar, at: &str) -> Option<Operand> {
        let operand = match value {
            Scalar::Null => Operand::Null,
            Scalar::Boolean(value) => Operand::Boolean(*value),
            Scalar::Number(text) => match Decimal::parse(text) {
                Some(number) => Operand::Number(number, text.clone()),
                None => {
                    self.faults.add(at, format!("{text:?} is not a number as JSON writes it"));
                    return None;
                }
            },
            Scalar::Text(text) if text.len() > VALUE_BYTES_MAX => {
                self.faults.add(at, format!("has {} bytes, the limit is {VALUE_BYTES_MAX}", text.len()));
                return None;
            }
            Scalar::Text(text) => Operand::of_text(text),
        };
        let is_moment = matches!(operand, Operand::Date(..) | Operand::Instant(..));
        let is_text = matches!(value, Scalar::Text(_));
        let fault = match operator {
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte | Operator::Between => {
                let fits = is_moment || matches!(operand, Operand::Number(..));
                (!fits).then_some("must be a number, a date (2026-11-24) or a time (2026-11-24T08:00:00Z)")
            }
            Operator::Before | Operator::After => {
                (!is_moment).then_some("must be a date (2026-11-24) or a time (2026-11-24T08:00:00Z)")
            }
            Operator::StartsWith | Operator::EndsWith => {
                let fits = matches!(value, Scalar::Text(text) if !text.is_empty());
                (!fits).then_some("must be a text that is not empty")
            }
            Operator::Contains | Operator::NotContains => {
                let empty = matches!(value, Scalar::Text(text) if text.is_empty());
                (empty || matches!(value, Scalar::Null))
                    .then_some("must be a number, a boolean or a text that is not empty")
            }
            _ => (is_text && value == &Scalar::Text(String::new()) && operator == Operator::ChangedFrom)
                .then_some("must not be an empty text: use null for a field that had no value"),
        };
        if let Some(fault) = fault {
            self.faults.add(at, fault);
            return None;
        }
        Some(operand)
    }
}

impl Operand {
    fn of_text(text: &str) -> Self {
        if let Some(date) = parse_date(text) {
            Operand::Date(date, text.to_owned())
        } else if let Some(instant) = Timestamp::parse(text) {
            Operand::Instant(instant, text.to_owned())
        } else {
            Operand::Text(text.to_owned())
        }
    }

    /// The text of a text, a date or a time.
    fn text(&self) -> Option<&str> {
        match self {
            Operand::Text(text) | Operand::Date(_, text) | Operand::Instant(_, text) => Some(text),
            _ => None,
        }
    }

    /// Whether a value is this one. Absent is null; a number is not its text.
    fn equals(&self, node: Option<&Node<'_>>) -> bool {
        match (self, node.map(|node| &node.value)) {
            (Operand::Null, None | Some(Json::Null)) => true,
            (Operand::Boolean(a), Some(Json::Bool(b))) => a == b,
            (Operand::Number(a, source), Some(Json::Number(b))) => source == b || Decimal::parse(b).as_ref() == Some(a),
            (Operand::Instant(a, source), Some(Json::String(b))) => {
                source == b || Timestamp::parse(b).as_ref() == Some(a)
            }
            (Operand::Text(a) | Operand::Date(_, a), Some(Json::String(b))) => a == b,
            _ => false,
        }
    }

    /// How a value compares with this one, where both are of one type that has an order.
    fn order_of(&self, node: Option<&Node<'_>>) -> Option<Ordering> {
        match (self, node.map(|node| &node.value)?) {
            (Operand::Number(a, _), Json::Number(b)) => Decimal::parse(b).map(|b| b.cmp(a)),
            (Operand::Date(a, _), Json::String(b)) => parse_date(b).map(|b| b.cmp(a)),
            (Operand::Instant(a, _), Json::String(b)) => Timestamp::parse(b).map(|b| b.cmp(a)),
            _ => None,
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Operand::Number(a, _), Operand::Number(b, _)) => Some(a.cmp(b)),
            (Operand::Date(a, _), Operand::Date(b, _)) => Some(a.cmp(b)),
            (Operand::Instant(a, _), Operand::Instant(b, _)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Operand::Null => "null",
            Operand::Boolean(_) => "a boolean",
            Operand::Number(..) => "a number",
            Operand::Date(..) => "a date",
            Operand::Instant(..) => "a time",
            Operand::Text(_) => "a text",
        }
    }

    fn shown(&self) -> String {
        match self {
            Operand::Null => "null".into(),
            Operand::Boolean(value) => value.to_string(),
            Operand::Number(_, source) => source.clone(),
            Operand::Text(text) | Operand::Date(_, text) | Operand::Instant(_, text) => shown(&format!("{text:?}")),
        }
    }
}

impl Group {
    fn holds(&self, state: State<'_>) -> bool {
        let holds = |member: &Member| match member {
            Member::Group(group) => group.holds(state),
            Member::Clause(clause) => clause.holds(state),
        };
        match self.how {
            Match::All => self.members.iter().all(holds),
            Match::Any => self.members.iter().any(holds),
            Match::None => !self.members.iter().any(holds),
        }
    }

    fn explain(&self, at: &str, state: State<'_>, found: &mut Vec<Explanation>) {
        for (index, member) in self.members.iter().enumerate() {
            let at = format!("{at}.conditions[{index}]");
            match member {
                Member::Group(group) => group.explain(&format!("{at}.group"), state, found),
                Member::Clause(clause) => found.push(clause.explain(at, state)),
            }
        }
    }

    fn asks_for_change(&self) -> bool {
        self.members.iter().any(|member| match member {
            Member::Group(group) => group.asks_for_change(),
            Member::Clause(clause) => clause.operator.is_active(),
        })
    }
}

type Reached<'e> = Vec<Option<&'e Node<'e>>>;

impl Clause {
    fn holds(&self, state: State<'_>) -> bool {
        if let Some(positive) = self.operator.positive() {
            return !self.decide(positive, state);
        }
        self.decide(self.operator, state)
    }

    fn decide(&self, operator: Operator, state: State<'_>) -> bool {
        let now = self.field.reach(state.data);
        match operator {
            Operator::Changed => self.changed(&now, state),
            Operator::ChangedTo => self.changed(&now, state) && self.any_passes(Operator::Is, &now),
            Operator::ChangedFrom => self.changed(&now, state) && self.any_passes(Operator::Is, &self.before(state)),
            _ => self.any_passes(operator, &now),
        }
    }

    fn before<'e>(&self, state: State<'e>) -> Reached<'e> {
        state.previous.map_or_else(|| vec![None], |previous| self.field.reach(previous))
    }

    fn changed(&self, now: &[Option<&Node<'_>>], state: State<'_>) -> bool {
        match state.action {
            Action::Delete => false,
            Action::Create => now.iter().flatten().any(|node| !node.is_null()),
            Action::Change => state.previous.is_some_and(|previous| {
                if !self.field.is_present(previous) {
                    return false;
                }
                let before = self.field.reach(previous);
                before.len() != now.len() || before.iter().zip(now).any(|(a, b)| !same(*a, *b))
            }),
        }
    }

    fn any_passes(&self, operator: Operator, reached: &[Option<&Node<'_>>]) -> bool {
        reached.iter().any(|node| self.passes(operator, *node))
    }

    /// Decides one value; an array at the end of the path passes if an element does.
    fn passes(&self, operator: Operator, node: Option<&Node<'_>>) -> bool {
        if operator == Operator::IsEmpty {
            return is_empty(node);
        }
        match node.map(|node| &node.value) {
            Some(Json::Array(items)) => items.iter().any(|item| self.passes_element(operator, item)),
            _ => self.passes_value(operator, node),
        }
    }

    fn passes_element(&self, operator: Operator, item: &Node<'_>) -> bool {
        let is_member = operator == Operator::Contains && self.operands[0].equals(Some(item));
        is_member || self.passes_value(operator, Some(item))
    }

    fn passes_value(&self, operator: Operator, node: Option<&Node<'_>>) -> bool {
        let texts = || Some((node?.as_str()?, self.operands[0].text()?));
        let order = |at: usize| self.operands[at].order_of(node);
        match operator {
            Operator::Is | Operator::In => self.operands.iter().any(|operand| operand.equals(node)),
            Operator::Contains => texts().is_some_and(|(text, part)| text.contains(part)),
            Operator::StartsWith => texts().is_some_and(|(text, part)| text.starts_with(part)),
            Operator::EndsWith => texts().is_some_and(|(text, part)| text.ends_with(part)),
            Operator::Gt | Operator::After => order(0).is_some_and(Ordering::is_gt),
            Operator::Gte => order(0).is_some_and(Ordering::is_ge),
            Operator::Lt | Operator::Before => order(0).is_some_and(Ordering::is_lt),
            Operator::Lte => order(0).is_some_and(Ordering::is_le),
            Operator::Between => order(0).is_some_and(Ordering::is_ge) && order(1).is_some_and(Ordering::is_le),
            _ => false,
        }
    }

    fn explain(&self, path: String, state: State<'_>) -> Explanation {
        let now = self.field.reach(state.data);
        let mut compared = format!("{} is {}", self.field, shown_all(&now));
        if self.operator.is_active() {
            match state.previous {
                _ if state.action == Action::Create => compared.push_str(", the object is new"),
                Some(previous) if self.field.is_present(previous) => {
                    compared.push_str(&format!(", was {}", shown_all(&self.before(state))));
                }
                _ => compared.push_str(", not among the old values"),
            }
        }
        if !self.operands.is_empty() {
            let wanted: Vec<_> = self.operands.iter().take(8).map(Operand::shown).collect();
            let more = if self.operands.len() > 8 { ", …" } else { "" };
            compared.push_str(&format!("; compared with {}{more}", wanted.join(", ")));
        }
        if let Some(mismatch) = self.mismatch(&now) {
            compared.push_str(&mismatch);
        }
        Explanation { path, field: self.field.to_string(), operator: self.operator, compared, held: self.holds(state) }
    }

    /// Says where the types of a value and what it is compared with can never fit.
    fn mismatch(&self, now: &[Option<&Node<'_>>]) -> Option<String> {
        let [Some(node)] = now else { return None };
        let operand = self.operands.first()?;
        let found = match &node.value {
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(text) if parse_date(text).is_some() => "a date",
            Json::String(text) if Timestamp::parse(text).is_some() => "a time",
            Json::String(_) => "a text",
            Json::Object(_) => "an object",
            Json::Null | Json::Array(_) => return None,
        };
        let wanted = operand.type_name();
        let both_text = node.as_str().is_some() && operand.text().is_some();
        let ordered = matches!(
            self.operator,
            Operator::Gt
                | Operator::Gte
                | Operator::Lt
                | Operator::Lte
                | Operator::Between
                | Operator::Before
                | Operator::After
        );
        (found != wanted && (ordered || !both_text)).then(|| format!("; {found} is never {wanted}"))
    }
}

fn is_empty(node: Option<&Node<'_>>) -> bool {
    match node.map(|node| &node.value) {
        None | Some(Json::Null) => true,
        Some(Json::String(text)) => text.is_empty(),
        Some(Json::Array(items)) => items.is_empty(),
        Some(Json::Object(members)) => members.is_empty(),
        Some(Json::Bool(_) | Json::Number(_)) => false,
    }
}

/// Whether two values are the same: numbers by value, objects whatever the order, absent as null.
fn same(a: Option<&Node<'_>>, b: Option<&Node<'_>>) -> bool {
    match (a.map(|node| &node.value).unwrap_or(&Json::Null), b.map(|node| &node.value).unwrap_or(&Json::Null)) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => a == b || Decimal::parse(a) == Decimal::parse(b),
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b))),
        (Json::Object(left), Json::Object(right)) => {
            let covers = |from: &[(_, _)], other: &Node<'_>, of: &Node<'_>| {
                from.iter().all(|(key, _): &(std::borrow::Cow<'_, str>, Node<'_>)| same(of.get(key), other.get(key)))
            };
            match (a, b) {
                (Some(a), Some(b)) => covers(left, b, a) && covers(right, a, b),
                _ => false,
            }
        }
        _ => false,
    }
}

fn shown_all(reached: &[Option<&Node<'_>>]) -> String {
    let show = |node: &Option<&Node<'_>>| node.map_or_else(|| "absent".to_owned(), |node| shown(node.raw));
    match reached {
        [one] => show(one),
        many => {
            let some: Vec<_> = many.iter().take(5).map(show).collect();
            format!("[{}{}]", some.join(", "), if many.len() > 5 { ", …" } else { "" })
        }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
