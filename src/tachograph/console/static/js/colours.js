// One set of colours for the whole page, in two themes. A simulated test (tests/console/page/js/colours.test.js) keeps the
// ten of a palette apart from each other for readers with normal sight, protanopia, deuteranopia and tritanopia.

const DARK = {
  text: "#e6edf3",
  muted: "#93a1af",
  grid: "#232b35",
  axis: "#3a4552",
  surface: "#151b22",
  track: "#2a323c",
  accent: "#5aa2ff",
  cursor: "#9aa7b4",
  palette: {
    blue: "#4d98ff",
    orange: "#f8a13f",
    green: "#6cd5b3",
    purple: "#7a48d9",
    yellow: "#fae91d",
    red: "#f05848",
    cyan: "#adf3fa",
    pink: "#9a5a90",
    darkRed: "#bd373f",
    grey: "#9299a1",
  },
};
const LIGHT = {
  text: "#17202a",
  muted: "#566370",
  grid: "#e6eaef",
  axis: "#c2cad3",
  surface: "#ffffff",
  track: "#e4e9ef",
  accent: "#1d63c4",
  cursor: "#566370",
  palette: {
    blue: "#273ab2",
    orange: "#ac5d10",
    green: "#4f8871",
    purple: "#8a59da",
    yellow: "#b38c15",
    red: "#a21c14",
    cyan: "#159cb7",
    pink: "#67196d",
    darkRed: "#7e0330",
    grey: "#576574",
  },
};
const PROVIDERS = { openai: "green", anthropic: "orange", gemini: "blue" };
const FURTHER = ["purple", "yellow", "cyan", "pink", "darkRed", "grey"];

/** What a word means has one colour everywhere; the catalogue's panels say the same (tests compare them). */
export const MEANING = {
  success: "green",
  hit: "green",
  error: "red",
  rate_limited: "blue",
  cancelled: "grey",
  miss: "orange",
  auth: "darkRed",
  quota: "red",
  server_error: "orange",
  timeout: "yellow",
  connection: "purple",
  rate_limit: "blue",
  invalid_request: "grey",
  content_filter: "cyan",
  unknown: "pink",
  validation: "cyan",
  execution: "red",
  prompt: "blue",
  completion: "cyan",
};
/** The catalogue's names of colours, which are Grafana's. */
export const NAMED = {
  green: "green",
  red: "red",
  "dark-red": "darkRed",
  yellow: "yellow",
  orange: "orange",
  "semi-dark-orange": "orange",
  purple: "purple",
  blue: "blue",
  text: "grey",
  "light-blue": "cyan",
  "light-purple": "pink",
};

export function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : !matchMedia("(prefers-color-scheme: light)").matches;
}

export const themes = { DARK, LIGHT };

/** The colours of this theme: those of the palette by name, and what they stand for. */
export function theme() {
  const now = isDark() ? DARK : LIGHT;
  const { palette } = now;
  return {
    ...now,
    wheel: Object.values(palette),
    good: palette.green,
    warn: palette.yellow,
    bad: palette.red,
    wait: palette.grey,
  };
}

/** A colour of the catalogue (Grafana's names) in this theme, or null. */
export function named(name) {
  return theme().palette[NAMED[name]] || null;
}

const seen = new Map();

/** A provider's colour, the same in every view; providers that have none of their own take the next free one. */
export function providerColour(provider) {
  if (!provider) return theme().palette.grey;
  let name = PROVIDERS[provider] || seen.get(provider);
  if (!name) {
    name = FURTHER[seen.size % FURTHER.length];
    seen.set(provider, name);
  }
  return theme().palette[name];
}

/** A colour mixed with another: 0 is all of the first. */
export function mix(colour, other, share) {
  const channels = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const second = channels(other);
  return `#${channels(colour)
    .map((channel, i) =>
      Math.round(channel + (second[i] - channel) * share)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

/** The colour of a provider's nth model: tints of the provider's. */
function tint(provider, index) {
  const own = providerColour(provider);
  const [first, second, third] = isDark()
    ? [
        ["#ffffff", 0.5],
        ["#000000", 0.3],
        ["#ffffff", 0.75],
      ]
    : [
        ["#000000", 0.4],
        ["#ffffff", 0.35],
        ["#000000", 0.65],
      ];
  return [own, mix(own, ...first), mix(own, ...second), mix(own, ...third)][index % TINTS];
}

const TINTS = 4;

/** Whether the provider's hue distinguishes these series: not where one provider has more of them than tints. */
function areOfProviders(series) {
  const named = series.filter(({ labels }) => labels.provider);
  return named.length <= TINTS || named.some(({ labels }) => labels.provider !== named[0].labels.provider);
}

/** A colour for each series of a panel: by meaning, by provider, or from the palette; stable for the same set of names. */
export function assign(series) {
  const { palette, wheel, axis } = theme();
  const byProvider = areOfProviders(series);
  const used = {};
  let next = 0;
  return series.map(({ labels }) => {
    if (labels.others) return axis;
    const word = labels.error_type || labels.error_kind || labels.outcome;
    if (word && !labels.model && !labels.tool_name && MEANING[word]) return palette[MEANING[word]];
    if (labels.provider && byProvider) {
      const index = used[labels.provider] || 0;
      used[labels.provider] = index + 1;
      return tint(labels.provider, index);
    }
    return wheel[next++ % wheel.length];
  });
}

/** The dash of each line: a provider's tints repeat after four models, a palette after ten series; then dashes differ. */
export function dashes(series) {
  const used = {};
  const byProvider = areOfProviders(series);
  return series.map(({ labels }) => {
    const key = byProvider ? labels.provider || "" : "";
    const index = used[key] || 0;
    used[key] = index + 1;
    return [null, "6 3", "2 3", "9 3 2 3"][Math.floor(index / (key ? TINTS : 10)) % 4];
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
