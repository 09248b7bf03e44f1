// Made from the catalogue by `make goldens`: do not edit.

export interface AlertInstance {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  state: string;
  activeAt: string;
  value: string;
}

export interface AlertRule {
  name: string;
  group: string;
  query: string;
  state: string;
  duration: number;
  keepFiringFor: number;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  alerts: AlertInstance[];
  since: number | null;
  silenced_until: number | null;
  acknowledged: number | null;
  lastError: string;
}

export interface Annotation {
  name: string;
  expression: string;
  title: string;
  text: string;
  color: string;
}

export interface Board {
  uid: string;
  title: string;
  description: string;
  tags: string[];
  variables: Variable[];
  rows: BoardRow[];
  annotations: Annotation[];
  links: Link[];
}

export interface BoardPanel {
  id: string;
  title: string;
  description: string;
  unit: "bytes" | "cps" | "currencyUSD" | "ops" | "percentunit" | "reqps" | "s" | "short" | "tokens/s";
  queries: PanelQuery[];
  kind: "gauge" | "heatmap" | "histogram" | "stat" | "state-timeline" | "table" | "timeseries";
  width: number;
  height: number;
  stacked: boolean;
  bars: boolean;
  trend: boolean;
  thresholds: Threshold[];
  colors: Record<string, string>;
  minimum: number | null;
  matrix: [string, string] | null;
  required: boolean;
  reduce: "sum" | "worst";
}

export interface BoardRow {
  title: string;
  panels: BoardPanel[];
  folded: boolean;
}

export interface Link {
  title: string;
  uid: string;
  url: string;
}

export interface Measure {
  of: "calls" | "requests" | "tools";
  stat: "buckets" | "events" | "mean" | "p95" | "rate" | "ratio" | "sum";
  value: "cached" | "cost" | "count" | "duration" | "failed" | "first_token" | "prompt" | "retries" | "slow" | "success" | "tokens" | "unpriced" | "usage_missing" | "wait";
  by: string[];
  where: ([string, string])[];
  over: "cached" | "cost" | "count" | "duration" | "failed" | "first_token" | "prompt" | "retries" | "slow" | "success" | "tokens" | "unpriced" | "usage_missing" | "wait" | null;
  scale: number;
  offset: number;
  above: number;
  window_seconds: number | null;
}

export interface PanelQuery {
  expression: string;
  legend: string;
  instant: boolean;
  buckets: boolean;
  exemplars: boolean;
  table: boolean;
  measure: Measure | null;
  top: Top | null;
}

export interface Threshold {
  value: number | null;
  color: string;
}

export interface Top {
  by: string[];
  rank: string;
  lowest: boolean;
}

export interface Variable {
  name: string;
  label: string;
  metric: string;
  matchers: string;
  options: string[];
  default: string | null;
}
