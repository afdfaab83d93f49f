// How fast an answer came: its tokens a second, counted so that a page or a network that stood still doesn't make them more.

const BACKLOG = 8; // more pieces than these come together only after something stood still

/**
 * Take notice of a piece that came at a time (milliseconds). times: { began, first, last, answer, late }; late: pieces had waited
 * somewhere on their way.
 */
export function noticePiece(times, now, together) {
  times.first ??= now;
  times.last = now;
  if (together > BACKLOG) times.late = true;
}

/**
 * Tokens a second; null where that can't be said. From the first token to the last; where pieces had waited, the time of the
 * first says nothing, and it is from the request to the last. What the server measured itself comes before either.
 */
export function speedOf({ times, tokens, rate }) {
  if (rate) return rate;
  if (!times?.first) return null;
  const seconds = (times.last - (times.late ? times.began : times.first)) / 1000;
  const counted = times.late ? tokens : tokens - 1;
  return counted > 0 && seconds > 0 ? counted / seconds : null;
}
