/** All that is there for whoever it is granted to. */
const ALL_MODELS = '*';

/** The name that always means the base model. */
const BASE = 'base';

interface Named {
  readonly id: string;
  /** null for what is no adapter. */
  readonly parent: string | null;
  readonly task: 'generate' | 'embed';
}

/**
 * Whether a list of names lets a model be used: by its name, which stands for all of its versions; by `owner/*`; by `*`; the
 * base model by its name or as `base`, the one for embeddings by its name.
 */
export function isGranted(models: readonly string[], model: Named): boolean {
  if (models.includes(ALL_MODELS)) return true;
  const names = grantNames(model);
  return models.some((each) => names.includes(each));
}

/** The names that stand for a model, the most general first. */
export function grantNames({ id, parent, task }: Named): string[] {
  if (parent === null) return task === 'generate' ? [ALL_MODELS, BASE, id] : [ALL_MODELS, id];
  const name = modelName(id);
  const slash = name.indexOf('/');
  return slash < 0 ? [ALL_MODELS, name] : [ALL_MODELS, `${name.slice(0, slash)}/*`, name];
}

/** An adapter's name without its version. */
export function modelName(id: string): string {
  const at = id.indexOf('@');
  return at < 0 ? id : id.slice(0, at);
}
