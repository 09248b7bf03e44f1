// Colours with a meaning first (providers, outcomes, error types), then a wheel. Two sets: readable on dark and on light.

const DARK = {
  text: "#e6edf3",
  muted: "#8b98a5",
  grid: "#232b35",
  axis: "#3a4552",
  surface: "#151b22",
  track: "#2a323c",
  good: "#45c78a",
  warn: "#e3b341",
  bad: "#f2647b",
  accent: "#5aa2ff",
  cursor: "#9aa7b4",
  wait: "#8b98a5",
  families: {
    openai: ["#34c79b", "#8fe6cb", "#1f9c7b", "#b9f2df"],
    anthropic: ["#f0884f", "#f6b48c", "#c96a35", "#fbd3bb"],
    gemini: ["#5b8ff0", "#9cbcf7", "#3f6fd0", "#c6d9fb"],
  },
  wheel: [
    "#5aa2ff",
    "#45c78a",
    "#e3b341",
    "#b58cf2",
    "#f0884f",
    "#4fc3d9",
    "#f2647b",
    "#a3c95a",
    "#e58cc9",
    "#8fa3b8",
    "#d0a56b",
    "#6fd3b3",
  ],
};
const LIGHT = {
  text: "#17202a",
  muted: "#5a6672",
  grid: "#e6eaef",
  axis: "#c2cad3",
  surface: "#ffffff",
  track: "#e4e9ef",
  good: "#1a7f4f",
  warn: "#946200",
  bad: "#c4314b",
  accent: "#1d63c4",
  cursor: "#5a6672",
  wait: "#6b7885",
  families: {
    openai: ["#0d8a66", "#2fae8a", "#066049", "#5cc4a6"],
    anthropic: ["#c9571c", "#e0864f", "#9a3f10", "#eba67c"],
    gemini: ["#2b64d3", "#6a94e6", "#1b479c", "#94b3ee"],
  },
  wheel: [
    "#1d63c4",
    "#1a7f4f",
    "#946200",
    "#7748c4",
    "#c9571c",
    "#0e7f95",
    "#c4314b",
    "#5c7d14",
    "#b03d8d",
    "#52616f",
    "#8a5f1e",
    "#178567",
  ],
};
const MEANING = {
  success: "good",
  hit: "good",
  error: "bad",
  rate_limited: "warn",
  rate_limit: "warn",
  cancelled: "wait",
};
const WHEEL_OF = {
  timeout: 3,
  server_error: 6,
  auth: 8,
  invalid_request: 9,
  quota: 10,
  connection: 5,
  content_filter: 7,
  unknown: 9,
  validation: 9,
  execution: 6,
  miss: 4,
  prompt: 0,
  completion: 1,
};

export function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : !matchMedia("(prefers-color-scheme: light)").matches;
}

export const theme = () => (isDark() ? DARK : LIGHT);

const BY_NAME = {
  green: "good",
  "semi-dark-green": "good",
  red: "bad",
  "dark-red": "bad",
  yellow: "warn",
  orange: "warn",
  "semi-dark-orange": 4,
  purple: 3,
  blue: 0,
  text: 9,
  "light-blue": 5,
  "light-purple": 8,
};

/** A colour of the catalogue (Grafana's names) in this theme, or null. */
export function named(name) {
  const place = BY_NAME[name];
  if (place === undefined) return null;
  return typeof place === "number" ? theme().wheel[place] : theme()[place];
}

/** A colour for each series of a panel: by meaning, by provider, or from the wheel; stable for the same set of names. */
export function assign(series) {
  const now = theme();
  const used = {};
  let next = 0;
  return series.map(({ labels }) => {
    const single = labels.error_type || labels.error_kind || labels.outcome;
    if (single && !labels.model && !labels.tool_name && MEANING[single]) return now[MEANING[single]];
    if (single && !labels.tool_name && WHEEL_OF[single] !== undefined) return now.wheel[WHEEL_OF[single]];
    if (labels.others) return now.axis;
    const family = now.families[labels.provider];
    if (family) {
      const index = used[labels.provider] || 0;
      used[labels.provider] = index + 1;
      return family[index % family.length];
    }
    return now.wheel[next++ % now.wheel.length];
  });
}

/** A colour on a scale from calm to hot, for 0 <= share <= 1. */
export function heat(share) {
  const stops = isDark()
    ? [
        [20, 34, 56],
        [31, 78, 128],
        [72, 140, 200],
        [182, 140, 95],
        [236, 108, 60],
        [230, 72, 72],
      ]
    : [
        [232, 240, 250],
        [180, 208, 240],
        [110, 165, 222],
        [236, 200, 150],
        [236, 140, 84],
        [205, 66, 60],
      ];
  const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
  const index = Math.floor(place);
  const rest = place - index;
  const mix = stops[index].map((channel, i) => Math.round(channel + (stops[index + 1][i] - channel) * rest));
  const [r, g, b] = mix;
  const light = [r, g, b].map((c) => {
    const x = c / 255;
    return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
  return { fill: `rgb(${r},${g},${b})`, text: luminance > 0.179 ? "#0b1016" : "#ffffff" };
}
