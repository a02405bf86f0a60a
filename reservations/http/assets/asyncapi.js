"use strict";

// AsyncAPI's parser compiles code from schemas, which the content security policy forbids. So the viewer comes without
// it, and gets here what the parser would make of a document: no references, and the names of what they led to.

function named(collection, mark) {
  for (const [name, member] of Object.entries(collection)) {
    member[mark] = name;
  }
}

function target(document, reference) {
  return reference.split("/").slice(1).reduce((node, name) => node[name], document);
}

function resolve(document, node) {
  for (const [key, child] of Object.entries(node)) {
    if (child === null || typeof child !== "object" || key === "examples") {
      continue;
    }
    let found = child;
    while (typeof found.$ref === "string") {
      const { $ref: reference, ...beside } = found;
      const led = target(document, reference);
      found = Object.keys(beside).length ? { ...led, ...beside } : led;
    }
    node[key] = found;
    if (found === child || Object.keys(child).length > 1) {
      resolve(document, found);
    }
  }
}

async function show() {
  const answer = await fetch("asyncapi.json");
  const document_ = await answer.json();
  for (const collection of [document_.channels, document_.operations, document_.components.messages]) {
    named(collection, "x-parser-unique-object-id");
  }
  named(document_.components.schemas, "x-parser-schema-id");
  resolve(document_, document_);
  document_["x-parser-spec-parsed"] = true;
  document_["x-parser-api-version"] = 3;
  AsyncApiStandalone.render({ schema: document_ }, document.getElementById("messages"));
}

show();
