// The time now, by the server's clock: data carries its times, and the browser's clock may be another.

let ahead = 0;

/** Unix seconds. */
export const now = () => Date.now() / 1000 + ahead;

/** Follow the server's clock: `served` in unix seconds, in an answer asked for at `asked`, milliseconds of the browser's. */
export function follow(served, asked) {
  const came = Date.now();
  const difference = served - (asked + came) / 2000;
  ahead = Math.abs(difference) > 1 + (came - asked) / 2000 ? difference : 0; // less cannot be distinguished from the way
}
