// A Node.js application that a foreign instrumentation watches. Arguments: otel | traceloop, and the base URL of an
// OpenAI-like server. OTEL_EXPORTER_OTLP_ENDPOINT says where its spans go.
const [, , which, baseURL] = process.argv
const { NodeTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-node")
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto")
const { resourceFromAttributes } = require("@opentelemetry/resources")
const { registerInstrumentations } = require("@opentelemetry/instrumentation")
const { OpenAIInstrumentation } = require(`@${which === "otel" ? "opentelemetry" : which}/instrumentation-openai`)

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": `node-${which}`, "service.version": "1.2" }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
})
provider.register()
registerInstrumentations({ instrumentations: [new OpenAIInstrumentation()], tracerProvider: provider })

async function main() {
  const { OpenAI } = require("openai")
  const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 })
  const messages = [{ role: "user", content: "hello" }]
  await client.chat.completions.create({ model: "gpt-5", messages })
  const asked = { model: "gpt-5-mini", messages, stream: true, stream_options: { include_usage: true } }
  for await (const _ of await client.chat.completions.create(asked));
  await client.chat.completions.create({ model: "gpt-5-nano", messages }).catch(() => {})
  await provider.shutdown()
}

main()
