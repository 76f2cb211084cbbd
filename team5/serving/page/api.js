// Questions to the server this page came from, and to no other.

const TOKEN_KEY = "team5-token";

/** Why there is no answer; `where` is the key of the query it is about, where the server knows. */
export class ApiError extends Error {
  constructor(message, { status = 0, where = null, type = "" } = {}) {
    super(message);
    this.status = status;
    this.where = where;
    this.type = type;
  }
}

export const keepToken = (token) => sessionStorage.setItem(TOKEN_KEY, token);
const token = () => sessionStorage.getItem(TOKEN_KEY);

/** Send a request; return the response if it is an answer. */
async function send(path, { body, signal } = {}) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const init =
    body === undefined
      ? { headers, signal }
      : { method: "POST", headers, signal, body: isForm ? body : JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is it running, and are you connected to it?");
  }
  if (response.ok) return response;
  let detail = {};
  try {
    detail = (await response.json()).error ?? {};
  } catch {
    // A proxy in between speaks for itself: what it says is no JSON.
  }
  const retry = response.headers.get("Retry-After");
  const later = retry ? ` Try again in ${retry} s.` : "";
  const message =
    detail.message ?? `The server answered ${response.status} ${response.statusText}.`;
  throw new ApiError(message + (message.includes("again") ? "" : later), {
    status: response.status,
    where: detail.where ?? null,
    type: detail.type ?? "",
  });
}

function withOptions(path, options) {
  const given = Object.entries(options).filter(([, value]) => value);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/**
 * Ask one of the three questions.
 *
 * As one of several, so that a question at fault is an answer like any other rather than a failed
 * request, which browsers write into their consoles. `onProgress` gets how many pairs of a structure
 * and a spectrum are scored, and how many there are.
 */
export async function predict(question, version, signal, onProgress = null) {
  const path = withOptions("predict", { version, progress: onProgress !== null });
  const response = await send(path, { body: { items: [question] }, signal });
  const { items } = onProgress ? await lastLine(response, onProgress) : await response.json();
  const [{ answer, error }] = items;
  if (error)
    throw apiError({ ...error, where: error.where?.replace(/^items\[0\]\.?/, "") || null });
  // Null is short for the list of the first match.
  if (Array.isArray(answer))
    for (const match of answer) match.impossible_mzs ??= answer[0].impossible_mzs;
  return answer;
}

/**
 * Search the spectra of a file among structures; `ask` holds a file of spectra and its name, the
 * structures as `chosenList` has them, and what is asked. `onLine` gets each answer as it comes: a
 * ranking, or what was left out.
 */
export async function rankFile(ask, version, signal, onLine, onProgress = null) {
  const { spectra, spectraName, candidates, name, ...asked } = ask;
  const body = new FormData();
  body.append("spectra", spectra, spectraName);
  if (candidates) body.append("candidates", candidates, name);
  for (const [key, value] of Object.entries(asked))
    if (value !== "" && value !== null && value !== undefined) body.append(key, String(value));
  const path = withOptions("rank/file", { version, progress: onProgress !== null });
  for await (const line of linesOf(await send(path, { body, signal }), onProgress)) onLine(line);
}

async function lastLine(response, onProgress) {
  let last = null;
  for await (const line of linesOf(response, onProgress)) last = line;
  return last;
}

/** Yield the lines of an answer but for those of progress; an error is thrown. */
async function* linesOf(response, onProgress) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const text of lines) {
        const line = JSON.parse(text);
        if (line.error) throw apiError(line.error);
        if (line.progress) onProgress(line.progress.pairs, line.progress.of);
        else yield line;
      }
    }
  } catch (error) {
    const isKnown = error.name === "AbortError" || error instanceof ApiError;
    if (isKnown || error instanceof SyntaxError) throw error;
    throw new ApiError("The connection to the server broke off.", { cause: error });
  }
}

const apiError = (error, status = 422) =>
  new ApiError(error.message, { status, where: error.where ?? null, type: error.type });

/** Return {spectra, left_out} of a file. */
export async function readSpectra(file, name, signal) {
  const body = new FormData();
  body.append("spectra", file, name);
  return (await send("spectra/read", { body, signal })).json();
}

export const versions = async () => (await send("versions")).json();
export const libraries = async () => (await send("libraries")).json();

const drawn = new Map();
const queue = [];
let nDrawing = 0;

/** Return the SVG text of a structure; few at a time, each once. */
export function draw(smiles, width, height) {
  const key = `${width} ${height} ${smiles}`;
  if (!drawn.has(key)) {
    const wanted = new Promise((resolve, reject) =>
      queue.push({ body: { smiles, width, height }, resolve, reject }),
    );
    wanted.catch(() => drawn.delete(key));
    drawn.set(key, wanted);
    drawNext();
  }
  return drawn.get(key);
}

async function drawNext() {
  if (nDrawing >= 3 || queue.length === 0) return;
  nDrawing += 1;
  const { body, resolve, reject } = queue.shift();
  try {
    resolve(await (await send("draw", { body })).text());
  } catch (error) {
    reject(error);
  }
  nDrawing -= 1;
  drawNext();
}
