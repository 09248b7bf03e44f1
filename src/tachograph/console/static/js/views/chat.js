// What was said in a call, as a chat: OpenTelemetry's messages and the vendors' own, whole or cut at their end.

/**
 * The messages of kept content, or null where it is no list of messages.
 * @returns {{messages: {role: string, text: string}[], cut: string} | null} and what stands about its cut end.
 */
export function messagesOf(text) {
  const mark = /\.\.\. \[(\d+) more characters\]$|…$/.exec(text);
  const found = parsed(mark ? text.slice(0, mark.index) : text, Boolean(mark));
  const list = Array.isArray(found) ? found : (found?.messages ?? found?.contents ?? found?.choices);
  if (mark && Array.isArray(list) && !Object.keys(list.at(-1) ?? { some: 1 }).length) list.pop(); // it had only begun
  if (!Array.isArray(list) || !list.length || !list.every((one) => one && typeof one === "object" && isMessage(one)))
    return null;
  const messages = list.map((one) => ({ role: String(one.role || one.message?.role || "message"), text: said(one) }));
  const cut = mark ? `${mark[1] ? Number(mark[1]).toLocaleString("en") : "Some"} more characters were not kept.` : "";
  return { messages, cut };
}

const isMessage = (one) => "role" in one || "message" in one || "parts" in one || "content" in one || "type" in one;

/** Arguments and results: JSON with one field a line, other text as it is. */
export function readable(text) {
  try {
    return typeof JSON.parse(text) === "object" ? JSON.stringify(JSON.parse(text), null, 2) : text;
  } catch {
    return text;
  } // not JSON, or cut
}

function parsed(text, isCut) {
  try {
    return JSON.parse(text);
  } catch {
    return isCut ? repaired(text) : null;
  } // not JSON: shown as it is
}

/** JSON that was cut somewhere, closed where it can be: at its end, else after its last whole value. */
function repaired(text) {
  const open = [];
  let inText = false;
  let whole = { at: 0, open: "" };
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (inText) {
      if (sign === "\\") at += 1;
      else if (sign === '"') inText = false;
    } else if (sign === '"') inText = true;
    else if (sign === "{" || sign === "[") open.push(sign === "{" ? "}" : "]");
    else if (sign === "}" || sign === "]") open.pop();
    else if (sign === ",") whole = { at, open: [...open].reverse().join("") };
  }
  const end = [...open].reverse().join("");
  const tries = [
    text.replace(/\\(u[0-9a-f]{0,3})?$/i, "") + (inText ? '…"' : "") + end,
    text.slice(0, whole.at) + whole.open,
  ];
  for (const one of tries)
    try {
      return JSON.parse(one);
    } catch {
      continue;
    } // the next one loses more
  return null;
}

/** A message's text: its parts, and the tools that it calls. */
function said(one) {
  const message = one.message ?? one;
  const calls = (message.tool_calls || []).map((call) =>
    called(call.function?.name ?? call.name, call.function?.arguments ?? call.args),
  );
  const body = message.parts ?? message.content ?? (message.role ? "" : message);
  return [plain(body), ...calls].filter(Boolean).join("\n");
}

const called = (name, given) => `${name}(${typeof given === "string" ? given : JSON.stringify(given ?? {})})`;

function plain(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(plain).filter(Boolean).join("\n");
  if (typeof value !== "object") return String(value);
  const file =
    value.image_url?.url ??
    value.image_url ??
    value.source?.data ??
    value.inlineData ??
    value.inline_data ??
    value.input_audio;
  if (file || ["blob", "uri", "image", "file", "input_image", "input_file"].includes(value.type))
    return named(value, file);
  const call =
    value.functionCall ??
    value.function_call ??
    (/^(tool_call|tool_use|function_call)$/.test(value.type) ? value : null);
  if (call) return called(call.name, call.arguments ?? call.input ?? call.args);
  const answer =
    value.functionResponse?.response ?? value.function_response?.response ?? value.response ?? value.output;
  return plain(value.text ?? value.thinking ?? value.content ?? answer ?? JSON.stringify(value));
}

/** A picture, a sound or a file by its type; never its bytes. */
function named(value, file) {
  const url = typeof file === "string" && /^[a-z]+:\/\//.test(file) && file.length < 300 ? file : value.uri;
  const of = /^data:([^;,]+)/.exec(typeof file === "string" ? file : "")?.[1];
  const type = of ?? value.source?.media_type ?? file?.mimeType ?? file?.mime_type ?? value.mime_type ?? value.type;
  return `[${[type || "file", url].filter(Boolean).join(" ")}]`;
}
