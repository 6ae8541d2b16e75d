/** What queries are made of: every selector is narrowed to what is chosen above the panels. */

/** Of whatever has no labels of its own. */
export const SERVER = 'job=~"$job", instance=~"$instance"';
export const MODEL = `${SERVER}, model_name=~"$model_name"`;
export const TENANT = `${SERVER}, tenant=~"$tenant"`;
export const CATEGORY = `${SERVER}, category=~"$category"`;

/**
 * How fast a counter grows, summed up.
 * @param {string} metric @param {string} matchers @param {string} [by] labels that stay
 */
export function rate(metric, matchers, by) {
  return `sum${by === undefined ? '' : ` by (${by})`} (rate(${metric}{${matchers}}[$__rate_interval]))`;
}

/** A gauge, summed up. @param {string} metric @param {string} matchers @param {string} [by] labels that stay */
export function sum(metric, matchers, by) {
  return `sum${by === undefined ? '' : ` by (${by})`} (${metric}{${matchers}})`;
}

/** A share of what may be nothing: then there is none. @param {string} part @param {string} whole */
export const share = (part, whole) => `${part} / (${whole} > 0)`;

/** The mean of a histogram's values. @param {string} metric @param {string} matchers @param {string} [by] */
export const mean = (metric, matchers, by) =>
  share(rate(`${metric}_sum`, matchers, by), rate(`${metric}_count`, matchers, by));
