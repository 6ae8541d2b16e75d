import { isAdapterName, isTag, NAME_RULE, TAG_RULE } from '../name.ts';
import { StoreError } from '../store-error.ts';

export function assertName(name: string): void {
  if (!isAdapterName(name)) {
    throw new StoreError('adapter_field_invalid', `'name' must be made of ${NAME_RULE}`, 'name');
  }
}

export function assertText(text: string, field: string, least: number, most: number): void {
  // PostgreSQL keeps no NUL.
  if (text.length >= least && text.length <= most && !text.includes('\0')) return;
  const message = `'${field}' must have ${least} to ${most} characters, and no NUL`;
  throw new StoreError('adapter_field_invalid', message, field);
}

export function assertTag(tag: string): void {
  if (!isTag(tag)) throw new StoreError('adapter_tag_invalid', `a tag is made of ${TAG_RULE}`, 'tag');
}

export function nameTaken(name: string): StoreError {
  return new StoreError(
    'adapter_name_taken',
    `'${name}' belongs to another tenant; choose another name`,
    'name',
  );
}

export function notFound(message: string): StoreError {
  return new StoreError('adapter_not_found', message);
}
