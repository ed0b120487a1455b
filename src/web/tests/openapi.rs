use super::*;

#[test]
fn every_method_is_described_and_every_reference_leads_somewhere() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let methods = POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let callable = methods.filter(|method| !method.is_client_streaming()).count();
    assert_eq!(paths.len(), callable + 1);
    for (path, item) in paths {
        assert!(!item["post"]["summary"].as_str().expect("a summary").is_empty(), "{path}");
    }
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let text = document.to_string();
    let mut references = 0;
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().expect("a name");
        assert!(schemas.contains_key(name), "{name}");
        references += 1;
    }
    assert!(references > 100, "{references}");
    // Names of messages are the house's own: none is there twice, in another package.
    assert_eq!(schemas["Webhook"]["properties"]["endpointUrl"]["type"], "string");
    assert!(
        schemas["Webhook"]["properties"]["endpointUrl"]["description"]
            .as_str()
            .is_some_and(|text| text.contains("credentials"))
    );
    assert_eq!(schemas["Event"]["properties"]["permittedUserIds"]["deprecated"], true);
}
