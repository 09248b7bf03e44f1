// How kept content is read as a chat.

import assert from "node:assert/strict";
import { test } from "node:test";

import { messagesOf, readable } from "../../../../src/tachograph/console/static/js/views/chat.js";

const PICTURE = `data:image/png;base64,${"iVBORw0KGgo".repeat(50)}`;
const texts = (value) => messagesOf(JSON.stringify(value)).messages.map((one) => one.text);

test("messages of every vendor are read, with the tools that they call, and pictures are named", () => {
  const openai = [
    { role: "user", content: [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: PICTURE } }] }, // prettier-ignore
    { role: "assistant", content: null, tool_calls: [{ function: { name: "look", arguments: '{"at":1}' } }] },
    { role: "tool", content: "a cat" },
  ];
  assert.deepEqual(texts(openai), ["What is this?\n[image/png]", 'look({"at":1})', "a cat"]);
  const anthropic = [
    { role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/jpeg", data: "AAAA" } }] },
    { role: "assistant", content: [{ type: "tool_use", name: "look", input: { at: 1 } }] },
    { role: "user", content: [{ type: "tool_result", content: [{ type: "text", text: "a cat" }] }] },
  ];
  assert.deepEqual(texts(anthropic), ["[image/jpeg]", 'look({"at":1})', "a cat"]);
  const gemini = [
    { role: "user", parts: [{ text: "Hi" }, { inlineData: { mimeType: "image/webp", data: "AAAA" } }] },
    { role: "model", parts: [{ functionCall: { name: "look", args: { at: 1 } } }] },
  ];
  assert.deepEqual(texts(gemini), ["Hi\n[image/webp]", 'look({"at":1})']);
  const ours = [{ role: "assistant", parts: [{ type: "tool_call", name: "look", arguments: { at: 1 } }] }];
  assert.deepEqual(texts(ours), ['look({"at":1})']);
});

test("a conversation that was cut anywhere is a chat up to there", () => {
  const whole = JSON.stringify([
    { role: "user", content: 'He said "yes, {or} [no]" \\ 我的订单' },
    { role: "assistant", content: "An answer, with a comma" },
  ]);
  for (let at = 30; at < whole.length; at += 1) {
    const found = messagesOf(`${whole.slice(0, at)}... [${whole.length - at} more characters]`);
    assert.ok(found, whole.slice(0, at));
    assert.equal(found.messages[0].role, "user");
    assert.match(found.cut, /more characters were not kept/);
  }
});

test("other text is no chat, and JSON of arguments is laid out", () => {
  for (const text of ["hello", "[1, 2]", '{"a": 1}', "[]", "… [", "... [5 more characters]"]) assert.equal(messagesOf(text), null); // prettier-ignore
  assert.equal(readable('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(readable("plain"), "plain");
});
