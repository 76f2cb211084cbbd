"use strict";
// Shows ../openapi.json: every operation with its examples, which can be sent from here.

const root = new URL("..", document.baseURI);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function curl(method, url, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const data = body === null ? "" : ` \\\n  -H 'Content-Type: application/json' -d ${quoted(body)}`;
  return `curl ${method === "GET" ? "" : `-X ${method} `}${quoted(url)}${data}`;
}

function resolved(schema, schemas, seen = []) {
  if (Array.isArray(schema)) return schema.map((one) => resolved(one, schemas, seen));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    if (seen.includes(name)) return name;
    return resolved(schemas[name], schemas, [...seen, name]);
  }
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, resolved(value, schemas, seen)]),
  );
}

function operation(path, method, described, schemas) {
  const section = element("section", { id: `${method} ${path}` });
  const badge = element("span", { className: `method ${method.toLowerCase()}`, textContent: method });
  section.append(
    element("h2", {}, badge, path),
    element("p", { textContent: described.summary || "" }),
  );
  const inputs = (described.parameters || []).map((parameter) => {
    const input = element("input", {
      placeholder: parameter.required ? "" : "optional",
      value: parameter.in === "path" ? "v0.1" : "",
    });
    const hint = element("span", { className: "hint", textContent: parameter.description || "" });
    section.append(element("label", { className: "parameter" }, parameter.name, input, hint));
    return { parameter, input };
  });
  const json = described.requestBody?.content["application/json"];
  let body = null;
  if (json) {
    const examples = Object.values(json.examples || {});
    body = element("textarea", { spellcheck: false, ariaLabel: `Body of ${method} ${path}` });
    const choice = element("select", { ariaLabel: "Example" });
    for (const example of examples) choice.append(element("option", { textContent: example.summary }));
    const show = () => {
      body.value = JSON.stringify(examples[choice.selectedIndex].value, null, 2);
    };
    choice.addEventListener("change", show);
    show();
    section.append(element("p", {}, choice), body);
  }
  const command = element("pre");
  const answer = element("pre", { ariaLive: "polite" });
  const send = element("button", { type: "button", className: "primary", textContent: "Send" });
  send.addEventListener("click", async () => {
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") {
        target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      } else if (input.value) {
        query.set(parameter.name, input.value);
      }
    }
    const url = new URL(target.slice(1) + (query.size ? `?${query}` : ""), root).href;
    const headers = {};
    const token = document.getElementById("token").value;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    command.textContent = curl(method, url, body && body.value);
    answer.textContent = "…";
    try {
      const response = await fetch(url, { method, headers, body: body && body.value });
      answer.textContent = `${response.status}\n${pretty(await response.text())}`;
    } catch (error) {
      answer.textContent = `not answered: ${error.message}`;
    }
  });
  section.append(element("p", {}, send), command, answer);
  const shapes = {
    body: described.requestBody?.content,
    answers: Object.fromEntries(
      Object.entries(described.responses).map(([status, one]) => [
        `${status} ${one.description}`,
        one.content,
      ]),
    ),
  };
  const schema = element("pre");
  const details = element("details", {}, element("summary", { textContent: "Schema" }), schema);
  details.addEventListener("toggle", () => {
    const shown = { ...shapes, body: shapes.body && Object.fromEntries(
      Object.entries(shapes.body).map(([type, of]) => [type, of.schema])) };
    schema.textContent = JSON.stringify(resolved(shown, schemas), null, 2);
  });
  section.append(details);
  return section;
}

async function show() {
  const main = document.getElementById("operations");
  const document_ = await (await fetch(new URL("openapi.json", root))).json();
  document.getElementById("version").textContent = document_.info.version;
  const contents = document.getElementById("contents");
  main.replaceChildren();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const section = operation(path, method.toUpperCase(), described, document_.components.schemas);
      main.append(section);
      const link = element("a", { href: `#${encodeURIComponent(section.id)}`, textContent: path });
      contents.append(element("li", {}, link));
    }
  }
}

show();
