//! The chart: linted and rendered by real helm 3 and 4, its alerts and dashboard evaluated by a real Prometheus over the
//! metrics of a real server. `tests/run` puts the tools into `target/tools`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::CommandFactory;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    harness::{Database, Receiver, eventually},
    operations::{a_busy_server, http},
};

const HELMS: [&str; 2] = ["helm3", "helm4"];
/// How often the Prometheus of the test looks.
const SCRAPE: Duration = Duration::from_millis(500);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tool(name: &str) -> PathBuf {
    let path = root().join("target/tools").join(name);
    assert!(path.exists(), "{} is missing: ./tests/run installs it", path.display());
    path
}

/// What a tool says; an error where it fails.
async fn run(tool_name: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(tool(tool_name)).args(words).current_dir(root()).output().await.expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let both = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(both) }
}

/// The rendered manifests.
async fn render(helm: &str, more: &[&str]) -> Vec<Value> {
    let words = [&["template", "demo", "helm", "--namespace", "crm"], more].concat();
    let text = run(helm, &words).await.unwrap_or_else(|error| panic!("{helm} {more:?}: {error}"));
    let found: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    found.into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'m>(manifests: &'m [Value], kind: &str) -> &'m Value {
    let found: Vec<_> = manifests.iter().filter(|one| one["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "one {kind}");
    found[0]
}

fn service<'m>(manifests: &'m [Value], name: &str) -> &'m Value {
    let is_it = |one: &&Value| one["kind"] == "Service" && one["metadata"]["name"] == name;
    manifests.iter().find(is_it).unwrap_or_else(|| panic!("no service {name}"))
}

fn kinds(manifests: &[Value]) -> BTreeSet<&str> {
    manifests.iter().filter_map(|one| one["kind"].as_str()).collect()
}

/// A container's variables.
fn variables(container: &Value) -> Vec<(String, Value)> {
    let list = container["env"].as_array().expect("variables");
    list.iter().map(|one| (one["name"].as_str().expect("a name").to_owned(), one["value"].clone())).collect()
}

/// What holds for every pod of the chart.
fn assert_hardened(pod: &Value) {
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["runAsUser"], 65532);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in pod["containers"].as_array().expect("containers") {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_values_are_a_hardened_service_on_sqlite() {
    for helm in HELMS {
        run(helm, &["lint", "--strict", "helm"]).await.expect("lints");
        let manifests = render(helm, &[]).await;
        // What a change of the chart changes is seen in this file.
        let golden: Vec<Value> = serde_saphyr::from_multiple(include_str!("../chart-default.yaml")).expect("YAML");
        let sorted = |mut documents: Vec<Value>| {
            documents.retain(|one| !one.is_null());
            documents.sort_by_key(|one| format!("{}{}", one["kind"], one["metadata"]["name"]));
            documents
        };
        assert_eq!(sorted(manifests.clone()), sorted(golden), "render tests/chart-default.yaml anew if this is meant");
        let wanted = ["Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Service"];
        assert_eq!(kinds(&manifests), wanted.into_iter().chain(["ServiceAccount"]).collect());
        let deployment = &of_kind(&manifests, "Deployment")["spec"];
        assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(1), &json!("Recreate")));
        let pod = &deployment["template"]["spec"];
        assert_hardened(pod);
        assert_hardened(&of_kind(&manifests, "Pod")["spec"]);
        let container = &pod["containers"][0];
        assert_eq!(container["livenessProbe"]["grpc"], json!({"port": 50051, "service": "grpc.health.v1.Health"}));
        assert_eq!(container["readinessProbe"]["grpc"], json!({"port": 50051}));
        assert!(variables(container).contains(&("HOOKLINE_DATABASE".into(), "/data/hookline.db".into())));
        assert!(pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].is_object());
        let claim = of_kind(&manifests, "PersistentVolumeClaim");
        assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        let egress = of_kind(&manifests, "NetworkPolicy")["spec"]["egress"].to_string();
        assert!(egress.contains("169.254.0.0/16") && !egress.contains("5432"), "{egress}");
        for block in hookline::domain::address::blocked() {
            assert!(egress.contains(&format!("\"{block}\"")), "the second fence has {block}, too: {egress}");
        }
        // What the selectors of the service, the budget and the policy choose is what the pod is labelled.
        let labels = deployment["template"]["metadata"]["labels"].as_object().expect("labels");
        for selector in [
            &deployment["selector"]["matchLabels"],
            &service(&manifests, "demo-hookline")["spec"]["selector"],
            &service(&manifests, "demo-hookline-operations")["spec"]["selector"],
            &of_kind(&manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            &of_kind(&manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        ] {
            let selector = selector.as_object().expect("a selector");
            assert!(!selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
        }
        assert!(
            !of_kind(&manifests, "Pod")["metadata"]["labels"].to_string().contains("server"),
            "no traffic to a test"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_migrated_first_and_secrets_are_references() {
    for helm in HELMS {
        let manifests = render(helm, &["-f", "helm/ci/postgres-values.yaml"]).await;
        let more = ["ConfigMap", "Job", "PrometheusRule", "ServiceMonitor"];
        assert!(
            more.iter().all(|kind| kinds(&manifests).contains(kind))
                && !kinds(&manifests).contains("PersistentVolumeClaim")
        );
        let job = of_kind(&manifests, "Job");
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
        let pod = &job["spec"]["template"]["spec"];
        assert_hardened(pod);
        assert_eq!(pod["containers"][0]["args"], json!(["migrate", "--while-serving"]));
        let reference = json!({"secretKeyRef": {"name": "crm-database", "key": "dsn"}});
        assert_eq!(pod["containers"][0]["env"][0]["valueFrom"], reference);
        assert!(pod.get("serviceAccountName").is_none(), "a hook runs before the release's own account exists");
        let container = &of_kind(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"][0]["valueFrom"], reference);
        let has = |name: &str, value: &str| variables(container).contains(&(name.into(), value.into()));
        assert!(has("HOOKLINE_TOKEN_KEY_FILES", "/etc/hookline/token-keys/jwks.json,/etc/hookline/token-keys/old.pem"));
        assert!(has("HOOKLINE_TLS_CLIENT_CA_FILE", "/etc/hookline/client-ca/ca.crt"));
        assert!(has("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4317"));
        assert!(!variables(container).iter().any(|(name, _)| name == "HOOKLINE_SIGNING_KEY_FILE"));
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz", "a kubelet's gRPC probe speaks no TLS");
        let egress = of_kind(&manifests, "NetworkPolicy")["spec"]["egress"].to_string();
        assert!(egress.contains("5432") && egress.contains("4317"), "{egress}");
        let rules = &of_kind(&manifests, "PrometheusRule")["spec"]["groups"][0];
        let expressions: Vec<_> = rules["rules"].as_array().expect("rules").iter().map(|one| &one["expr"]).collect();
        for expression in expressions.iter().filter_map(|one| one.as_str()) {
            let own = r#"namespace="crm",service="demo-hookline-operations""#;
            let selectors = expression.matches(['{']).count();
            assert!(selectors > 0 && expression.matches(own).count() == selectors, "only its own series: {expression}");
        }
        let ingress = of_kind(&manifests, "NetworkPolicy")["spec"]["ingress"].to_string();
        assert!(ingress.contains(r#"{"kubernetes.io/metadata.name":"monitoring"}"#), "Prometheus is let in: {ingress}");
        let dashboard = of_kind(&manifests, "ConfigMap")["data"]["hookline.json"].as_str().expect("a dashboard");
        assert_eq!(serde_json::from_str::<Value>(dashboard).expect("JSON")["title"], "Hookline");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_takes_every_rendered_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut said = BTreeSet::new();
    for helm in HELMS {
        let manifests = render(helm, &["-f", "helm/ci/everything-values.yaml"]).await;
        let deployment = of_kind(&manifests, "Deployment");
        assert_eq!(deployment["metadata"]["name"], "webhooks");
        assert_eq!(service(&manifests, "webhooks")["spec"]["type"], "LoadBalancer");
        assert_eq!(service(&manifests, "webhooks-operations")["spec"]["type"], "ClusterIP", "never on a load balancer");
        let test = &of_kind(&manifests, "Pod")["spec"];
        assert_eq!(test["tolerations"], deployment["spec"]["template"]["spec"]["tolerations"]);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let digest = container["image"].as_str().expect("an image");
        assert!(digest.starts_with("registry.example.com/hookline@sha256:"), "{digest}");
        let claim = &deployment["spec"]["template"]["spec"]["volumes"];
        assert!(claim.to_string().contains(r#"{"claimName":"data"}"#), "{claim}");
        // The same variables, with the files of the pod in a folder of the test.
        let etc = folder.path().join("etc/hookline");
        for (file, text) in [
            ("sealing/sealing-key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("sealing/sealing-key-2025", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
            ("signing/signing-key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            (
                "token-keys/jwks.json",
                r#"{"keys": [{"kty": "oct", "kid": "a", "alg": "HS256", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#,
            ),
        ] {
            std::fs::create_dir_all(etc.join(file).parent().expect("a folder")).expect("a folder");
            std::fs::write(etc.join(file), text).expect("writes");
        }
        let moved = |value: &str| value.replace("/etc/hookline", &etc.display().to_string()).replace("/data/", "");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        command.arg("doctor").current_dir(folder.path()).env_clear();
        for (name, value) in variables(container) {
            command.env(name, moved(value.as_str().expect("text")));
        }
        let output = command.output().await.expect("runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{out}{err}");
        assert!(out.contains("listens on 0.0.0.0:50051"), "{out}");
        said.insert(variables(container).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>());
    }
    assert_eq!(said.len(), 1, "both helms say the same");
    let said = said.pop_first().expect("variables");
    for wanted in
        [r#"HOOKLINE_PLAN_EXECUTIONS="2000000,2500,5000,10000""#, r#"HOOKLINE_EVENT_AGE_MAX_MS="31536000000""#]
    {
        assert!(said.iter().any(|one| one == wanted), "no {wanted} in {said:?}");
    }
    let values: Value = serde_saphyr::from_str(include_str!("../../helm/ci/everything-values.yaml")).expect("YAML");
    let given: BTreeSet<_> = values["settings"].as_object().expect("settings").keys().cloned().collect();
    assert_eq!(given, schema_settings(), "every setting is tried");
}

fn schema_settings() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(include_str!("../../helm/values.schema.json")).expect("JSON");
    let settings = schema["properties"]["settings"]["properties"].as_object().expect("settings");
    settings.keys().cloned().collect()
}

#[test]
fn the_schema_knows_the_settings_of_the_binary() {
    // Those that the chart sets itself.
    let own = [
        "database",
        "listen",
        "operations-listen",
        "http-listen",
        "http-allow-origins",
        "log-format",
        "signing-key-file",
        "token-key-files",
        "sealing-key-file",
        "tls-cert-file",
        "tls-key-file",
        "tls-client-ca-file",
        "endpoint-ca-file",
    ];
    let command = hookline::cli::command::Cli::command();
    let serve = command.find_subcommand("serve").expect("serve");
    let flags = serve.get_arguments().filter(|one| one.get_env().is_some()).filter_map(|one| one.get_long());
    let camel = |flag: &str| {
        let mut words = flag.split('-');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
    };
    let wanted: BTreeSet<_> = flags.filter(|flag| !own.contains(flag)).map(camel).collect();
    assert_eq!(schema_settings(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_refuses_what_is_unknown_or_of_another_type() {
    for (set, wanted) in [
        ("replicaCount=2", "replicaCount"),
        ("autoscaling.enabled=true", "autoscaling"),
        ("settings.retryDelayMs=5", "retryDelayMs"),
        ("settings.bodyBytesMax=lots", "bodyBytesMax"),
        ("settings.planExecutions={1,2}", "planExecutions"),
        ("database.kind=mysql", "kind"),
        ("database.postgres.password=hunter2", "password"),
        ("keys.sealing.existingSecret=", "existingSecret"),
        ("keys.signing.existingSecret=", "keys"),
        ("service.port=http", "port"),
        ("podDisruptionBudget.maxUnavailable=2", "maxUnavailable"),
        ("image.digest=latest", "digest"),
        ("extraEnv[0].name=HOOKLINE_LISTEN", "extraEnv"),
        ("networkPolicy.privateEgress={everywhere}", "privateEgress"),
        ("settings.allowAddresses={10.0.0.0/33}", "allowAddresses"),
        ("logs.level=verbose", "level"),
        ("podLabels.app\\.kubernetes\\.io/name=x", "podLabels"),
    ] {
        for helm in HELMS {
            let refused = run(helm, &["template", "demo", "helm", "--set", set]).await;
            let error = refused.err().unwrap_or_else(|| panic!("{helm} takes {set}"));
            assert!(error.contains("schema") && error.contains(wanted), "{helm} {set}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_need_each_other_are_checked() {
    for (set, wanted) in [
        ("tls.clientCa.existingSecret=ca", "set tls.existingSecret, too"),
        ("keys.tokenKeys.existingSecret=issuer", "keys.tokenKeys.keys is empty"),
        ("terminationGracePeriodSeconds=29", "terminationGracePeriodSeconds must be 30 or more"),
        ("http.ingress.enabled=true", "set http.enabled, too"),
        ("http.enabled=true,http.ingress.enabled=true", "http.ingress.host is empty"),
        ("settings.shutdownGraceMs=60000", "terminationGracePeriodSeconds must be 75 or more"),
    ] {
        for helm in HELMS {
            let refused = run(helm, &["template", "demo", "helm", "--set", set]).await;
            let error = refused.err().unwrap_or_else(|| panic!("{helm} takes {set}"));
            assert!(error.contains(wanted), "{helm} {set}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notes_say_how_to_make_the_secrets() {
    // Without a cluster helm renders no notes, so a manifest carries them.
    let chart = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp").args(["-r", "helm"]).arg(chart.path()).current_dir(root()).status().await;
    assert!(copied.expect("runs").success());
    let notes = include_str!("../../helm/templates/NOTES.txt");
    let manifest =
        format!("{{{{ define \"notes\" }}}}{notes}{{{{ end }}}}\nnotes: {{{{ include \"notes\" . | quote }}}}\n");
    std::fs::write(chart.path().join("helm/templates/notes.yaml"), manifest).expect("writes");
    let chart = chart.path().join("helm").display().to_string();
    for helm in HELMS {
        let words = ["template", "demo", &chart, "--namespace", "crm", "--show-only", "templates/notes.yaml"];
        let manifest: Value = serde_saphyr::from_str(&run(helm, &words).await.expect("renders")).expect("YAML");
        let text = manifest["notes"].as_str().expect("notes");
        for wanted in [
            "create secret generic hookline-keys",
            "--from-literal=sealing-key=",
            "helm test demo -n crm",
            "--signing-key-file signing.key",
        ] {
            assert!(text.contains(wanted), "{helm}: no {wanted} in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_when_it_should_and_only_then() {
    run("promtool", &["check", "rules", "helm/files/alerts.yaml"]).await.expect("is well-formed");
    run("promtool", &["test", "rules", "tests/alerts.yaml"]).await.expect("fire as they should");
    let docs = include_str!("../../docs/troubleshooting.md");
    for (name, _) in alerts() {
        assert!(
            docs.contains(&format!("# {name}\n")) || docs.contains(&format!("# `{name}`\n")),
            "docs say nothing of {name}"
        );
        assert!(include_str!("../alerts.yaml").contains(&name), "nothing proves {name}");
    }
}

/// The alerts' names and expressions.
fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(include_str!("../../helm/files/alerts.yaml")).expect("YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    let text = |rule: &Value, field: &str| rule[field].as_str().expect("text").to_owned();
    rules.iter().map(|rule| (text(rule, "alert"), text(rule, "expr"))).collect()
}

/// The dashboard's titles and expressions.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(include_str!("../../helm/files/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().expect("text").to_owned()))
    });
    targets.collect()
}

/// The metrics that an expression reads, each with the labels that it asks for.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(['h', 'o', 'r', 'p']) {
        let before = rest[..at].chars().next_back();
        let word: String = rest[at..].chars().take_while(|one| is_word(*one)).collect();
        let after = &rest[at + word.len()..];
        let is_metric = ["hookline_", "otel_", "rpc_server_", "process_"].iter().any(|one| word.starts_with(one));
        if is_metric && !before.is_some_and(is_word) {
            let matchers =
                after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
            let labels = matchers.split(',').filter_map(|one| one.split(['=', '!']).next());
            found.push((word.clone(), labels.filter(|one| !one.is_empty()).map(|one| one.trim().to_owned()).collect()));
        }
        rest = if word.is_empty() { &rest[at + 1..] } else { after };
    }
    found
}

#[test]
fn the_check_sees_the_metrics_of_an_expression() {
    let found = selectors(r#"sum by (le) (rate(hookline_a_bucket{result!="x",le=~"1"}[5m])) / hookline_b > 0"#);
    let names = |labels: &[&str]| labels.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    assert_eq!(found, [("hookline_a_bucket".to_owned(), names(&["result", "le"])), ("hookline_b".to_owned(), vec![])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_finds_what_alerts_and_dashboard_ask_for() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = a_busy_server(&database, &receiver).await;
    let folder = tempfile::tempdir().expect("a folder");
    let target = server.operations.trim_start_matches("http://").trim_end_matches('/');
    let config = json!({
        "global": {"scrape_interval": format!("{}ms", SCRAPE.as_millis()), "scrape_timeout": "500ms"},
        "rule_files": [root().join("helm/files/alerts.yaml")],
        "scrape_configs": [{"job_name": "hookline", "static_configs": [{"targets": [target]}]}],
    });
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config.to_string()).expect("writes");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let _prometheus = Command::new(tool("prometheus"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("runs");
    let ask = async |expression: &str| -> Option<Vec<Value>> {
        let mut url = url::Url::parse(&format!("http://{address}/api/v1/query")).expect("a URL");
        url.query_pairs_mut().append_pair("query", expression);
        let answer: Value = serde_json::from_str(&http().get(url).send().await.ok()?.text().await.ok()?).ok()?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned()
    };
    eventually("it has looked a few times", || async {
        let seen = ask("count_over_time(hookline_accounts[1m])").await?;
        let count: f64 = seen.first()?["value"][1].as_str()?.parse().ok()?;
        let lost = ask("otel_sdk_exporter_span_exported_total").await?;
        (count >= 4.0 && !lost.is_empty()).then_some(())
    })
    .await;
    for (title, expression) in dashboard() {
        assert!(!expression.contains("$__interval"), "{title} is empty where two scrapes are further apart");
        let concrete = expression.replace("$__rate_interval", "30s").replace("$namespace", ".*");
        let found = ask(&concrete).await.expect("answers");
        assert!(!found.is_empty(), "the panel {title} shows nothing: {concrete}");
    }
    for (name, expression) in alerts() {
        ask(&expression).await.expect("answers");
        let metrics = selectors(&expression);
        assert!(!metrics.is_empty(), "{name} reads nothing: {expression}");
        for (metric, labels) in metrics {
            // A series without a label has it empty; the metric must exist, and some series of it must have the label.
            let matchers: Vec<_> = labels.iter().map(|label| format!(r#"{label}=~".+""#)).collect();
            let wanted = if metric.starts_with("otel_sdk_processor") {
                metric.clone()
            } else {
                format!("{metric}{{{}}}", matchers.join(","))
            };
            assert!(!ask(&wanted).await.expect("answers").is_empty(), "{name} asks for {wanted}, which is not there");
        }
    }
}
