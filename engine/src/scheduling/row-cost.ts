/** Rows that a decode step costs before its first: reading the weights. Only to guess what was not seen. */
export const FIXED_ROWS = 8;
/** Weight of a new step against all before. */
const NEWEST = 0.01;
/** The same for a step of the usual size: it says little of what a row costs, so little is forgotten for it. */
const NEWEST_OF_USUAL = NEWEST / 16;
/** Spread of sizes, in rows squared, at which what was measured counts as much as the guess. */
const TRUSTED_SPREAD = 0.1;
/** A row costs at least the guess ÷ this. */
const MOST_CHEAPER = 8;
/** A step that took so many times what was to be expected was disturbed. */
const DISTURBED = 2;

/** What a further row adds to a decode step: a line through the rows and seconds of the steps of late. */
export class RowCost {
  #rows = 0;
  #seconds = 0;
  /** Of rows, and of rows with seconds: variance and covariance. */
  #spread = 0;
  #together = 0;

  stepped(rows: number, seconds: number): void {
    if (this.#rows === 0) {
      this.#rows = rows;
      this.#seconds = seconds;
      return;
    }
    const larger = Math.max(1, (rows + FIXED_ROWS) / (this.#rows + FIXED_ROWS));
    const rowsOff = rows - this.#rows;
    const secondsOff = Math.min(seconds, DISTURBED * larger * this.#seconds) - this.#seconds;
    this.#rows += NEWEST * rowsOff;
    this.#seconds += NEWEST * secondsOff;
    const kept = 1 - (Math.abs(rowsOff) < 0.5 ? NEWEST_OF_USUAL : NEWEST);
    this.#spread = kept * (this.#spread + NEWEST * rowsOff * rowsOff);
    this.#together = kept * (this.#together + NEWEST * rowsOff * secondsOff);
  }

  /** As a share of a step of so many rows. */
  share(rows: number): number {
    if (this.#rows === 0) return 1 / (rows + FIXED_ROWS);
    const guess = this.#seconds / (this.#rows + FIXED_ROWS);
    const fitted = (this.#together + TRUSTED_SPREAD * guess) / (this.#spread + TRUSTED_SPREAD);
    // No row costs more than all of them on average.
    const slope = Math.min(Math.max(fitted, guess / MOST_CHEAPER), this.#seconds / this.#rows);
    return slope / Math.max(this.#seconds + slope * (rows - this.#rows), slope * rows);
  }
}
