// A query as the part of an address behind #, which browsers send to nobody.

export const MAX_LINK = 8000; // characters; what mail programs and chats still carry whole
const MAX_QUERY = 2_000_000; // characters a link may unfold to

/** Return the address that asks a query again, or null if it would be too long. */
export async function linkOf(query) {
  const text = JSON.stringify(query);
  const packed =
    "CompressionStream" in window ? await deflate(text) : `j=${encodeURIComponent(text)}`;
  const link = `${location.origin}${location.pathname}#${packed}`;
  return packed === null || link.length > MAX_LINK ? null : link;
}

/** Return the query of an address; null if it has none. Throws an Error if it cannot be read. */
export async function queryOf(hash) {
  const [, kind, packed] = hash.match(/^#([qj])=(.*)$/s) ?? [];
  if (!kind) return null;
  let query;
  try {
    query = JSON.parse(kind === "q" ? await inflate(packed) : decodeURIComponent(packed));
  } catch (error) {
    throw new Error("The link is damaged: a part of it is missing or changed. Ask for it again.", {
      cause: error,
    });
  }
  if (query === null || typeof query !== "object" || Array.isArray(query))
    throw new Error("The link holds no query.");
  return Object.fromEntries(Object.entries(query).filter(([, value]) => typeof value === "string"));
}

async function deflate(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (bytes.length > MAX_LINK) return null;
  const base64 = btoa(String.fromCodePoint(...bytes));
  return `q=${base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (char) =>
    char.codePointAt(0),
  );
  const stream = new Blob([bytes])
    .stream()
    .pipeThrough(new DecompressionStream("deflate-raw"))
    .pipeThrough(new TextDecoderStream());
  let text = "";
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
    if (text.length > MAX_QUERY) throw new Error("too large");
  }
}
