/** Counting the properties of a large object takes longer than all else that refusing it takes. */
const counted = new WeakMap<object, number>();

/** How many properties an object from JSON has; counted once. */
export function propertyCount(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const count = counted.get(value) ?? Object.keys(value).length;
  counted.set(value, count);
  return count;
}
