import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** An adapter in PEFT's format as a form has it that pushes it. @param fields of the form, beside its name and files */
export async function adapterForm(
  name: string,
  folder: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<FormData> {
  const form = new FormData();
  for (const [field, value] of Object.entries({ name, ...fields })) form.set(field, value);
  for (const [part, file] of [
    ['config', 'adapter_config.json'],
    ['weights', 'adapter_model.safetensors'],
  ] as const)
    form.set(part, new Blob([await readFile(join(folder, file))]), file);
  return form;
}
