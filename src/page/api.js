// api: asking the server that this page came from, and no other. Errors say what to do.
import { Events } from "./text.js";
import { field, h } from "./dom.js";

const KEY = "loam.token";

export class ApiError extends Error {
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

function hintFor(status, code) {
  if (code === "context_length_exceeded")
    return "Start a new conversation, edit an earlier message, or start the server with a larger --ctx.";
  if (status === 403) return "Open the page at the address that loam serve printed.";
  if (status === 404) return "It may have been there before the server was started anew. Load the page again.";
  if (status === 503) return "The server is busy or stopping. Try again in a moment.";
  if (status >= 500) return "The server's own output says more.";
  return "";
}

/** Asks for the token in a dialog; resolves when one was given. */
let asking = null;
function askToken(wrong) {
  asking ??= new Promise((resolve, reject) => {
    const input = h("input", { type: "password", required: true, autocomplete: "current-password", id: "token" });
    const dialog = h("dialog", { className: "token", ariaLabel: "Token" }, h("form", { method: "dialog", onsubmit: () => {
      sessionStorage.setItem(KEY, input.value.trim());
      dialog.returnValue = "given";
    } },
      h("h2", null, "This server asks for a token"),
      h("p", null, wrong ? "The token given before is not the right one. " : "", "It is the one in the file of --token-file, or in LOAM_TOKEN, where the server was started. It is kept until this tab is closed."),
      field("Token", input),
      h("div", { className: "row end" }, h("button", { className: "main" }, "Use it"))));
    dialog.addEventListener("close", () => {
      asking = null;
      dialog.remove();
      if (dialog.returnValue === "given") resolve();
      else reject(new ApiError("The server asks for a token.", "Load the page again to give it.", 401));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

async function ask(path, options) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}), ...(token ? { Authorization: "Bearer " + token } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The server does not answer.", "Check that loam serve still runs, then try again.", 0);
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      await askToken(Boolean(token));
      continue;
    }
    const body = await answer.json().catch(() => ({}));
    const message = body.error?.message ?? body.error ?? `The server answered with status ${answer.status}.`;
    throw new ApiError(String(message), hintFor(answer.status, body.error?.code), answer.status);
  }
}

export const get = async (path, signal) => (await ask(path, { signal })).json();
export const getText = async (path, signal) => (await ask(path, { signal })).text();
export const post = async (path, body, signal) => (await ask(path, { method: "POST", body: JSON.stringify(body), signal })).json();

/** The objects of a stream of events, until it says [DONE]. */
export async function* stream(path, body, signal) {
  const answer = await ask(path, { method: "POST", body: JSON.stringify(body), signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(), events = new Events();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError("The answer was cut off.", "The server may have been stopped. Try again.", 0);
    for (const data of events.push(value)) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(event.error.message ?? "The answer failed.", "", 500);
      yield event;
    }
  }
}
