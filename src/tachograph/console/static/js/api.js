// Asking the server. Every failure becomes an ApiError with a sentence for a person.

export class ApiError extends Error {
  constructor(message, { status = 0, todo = "", type = "" } = {}) {
    super(message);
    this.status = status;
    this.todo = todo;
    this.type = type;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The console's server does not answer", { todo: "Is `tachograph console` still running?" });
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    body = null;
  }
  if (response.status === 401) {
    throw new ApiError("This browser is not logged in", {
      status: 401,
      todo: "Open the login link that `tachograph console` printed when it started.",
    });
  }
  if (!response.ok || body?.status === "error") {
    const problem = body?.error;
    if (typeof problem === "object" && problem) {
      throw new ApiError([problem.what, problem.where].filter(Boolean).join(": "), {
        status: response.status,
        todo: problem.do,
      });
    }
    throw new ApiError(problem || `The server answered ${response.status}`, {
      status: response.status,
      type: body?.errorType,
    });
  }
  return body;
}

export const console_ = (path, options) => ask(`api/console/${path}`, options);

/** Range query: [{metric, values: [[t, v], ...]}]. */
export async function queryRange(expr, { from, to, step }, signal) {
  const body = new URLSearchParams({ query: expr, start: from.toFixed(3), end: to.toFixed(3), step: String(step) });
  return (await ask("api/v1/query_range", { method: "POST", body, signal })).data.result;
}

/** Instant query: [{metric, value: [t, v]}]. */
export async function query(expr, time, signal) {
  const body = new URLSearchParams({ query: expr, time: time.toFixed(3) });
  const { data } = await ask("api/v1/query", { method: "POST", body, signal });
  return data.resultType === "scalar" ? [{ metric: {}, value: data.result }] : data.result;
}

/** Single observations that lead to a trace: [{labels, value, time, trace}]; none where the source keeps none. */
export async function exemplars(expr, { from, to }, signal) {
  const body = new URLSearchParams({ query: expr, start: from.toFixed(3), end: to.toFixed(3) });
  const { data } = await ask("api/v1/query_exemplars", { method: "POST", body, signal });
  return data.flatMap(({ seriesLabels, exemplars: found }) =>
    found.map((one) => ({
      labels: seriesLabels,
      value: Number(one.value),
      time: Number(one.timestamp),
      trace: one.labels?.trace_id || one.labels?.traceID || "",
    })),
  );
}

export async function labelValues(label, match, { from, to }) {
  const parameters = new URLSearchParams({ start: from.toFixed(0), end: to.toFixed(0) });
  if (match) parameters.append("match[]", match);
  return (await ask(`api/v1/label/${encodeURIComponent(label)}/values?${parameters}`)).data;
}

export async function rules() {
  return (await ask("api/v1/rules?type=alert")).data.groups;
}
