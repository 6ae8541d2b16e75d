import { VERSION } from '../version.ts';
import { CONFIG_OPTIONS, type ConfigOption, FILE_OPTIONS, type FileOption } from './schema.ts';

const INDENT = ' '.repeat(6);

/** The text of `polylora --help`, written from the configuration's schema. */
export function helpText(): string {
  return `polylora ${VERSION}: serves a base model with many LoRA adapters over the OpenAI API.

Usage:
  polylora serve [options]
  polylora adapters <command> [options]    manages the adapters of a running server;
                                           polylora adapters --help tells more
  polylora tenants <command> [options]     ... its tenants, and what its models cost
  polylora keys <command> [options]        ... its API keys
  polylora cache <command> [options]       ... its answer cache
  polylora audit [options]                 lists what was done on it, and checks that list
  polylora top [options]                   shows what it does, live
  polylora --help | --version

Options of polylora serve:
  --config <file>
${INDENT}YAML or JSON file with any of the options below, in camelCase (environment: POLYLORA_CONFIG)
${CONFIG_OPTIONS.map(optionText).join('\n')}

In the config file only:
${FILE_OPTIONS.map(fileOptionText).join('\n')}

Every other option can also be set by its environment variable or in the config file. Flags win over the
environment, the environment over the file. The file is looked at every second and at SIGHUP: options marked
'reloaded' take their new values at once, others at the next start. A file that is not valid, or
empty ({} sets nothing), changes nothing.
`;
}

function optionText(option: ConfigOption): string {
  const value = option.choices?.join('|') ?? (option.isNumber ? 'number' : 'text');
  const preset = option.default === null ? '' : ` [${option.default}]`;
  return `  ${option.flag} <${value}>\n${INDENT}${option.description}${preset}\n${INDENT}(${option.env}${option.reloads ? '; reloaded' : ''})`;
}

function fileOptionText({ key, description, reloads }: FileOption): string {
  return `  ${key}\n${INDENT}${description}${reloads ? `\n${INDENT}(reloaded)` : ''}`;
}
