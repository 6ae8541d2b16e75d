import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a rig needs cannot be had on this machine; the message says what and why. */
export class CannotInstall extends Error {}

/**
 * Unpacks packages of a Debian release, with all that they depend on, into a folder of their own. Nothing is
 * installed on this system, whose own release may be another and which needs no root rights for it.
 * @param {string} folder made, unless an earlier call has made it for the same request
 * @param {{ release: string, packages: readonly string[], only?: Readonly<Record<string, string>> }} request
 *   `only` maps the beginning of a package's name to the one member pattern to unpack of it, for large packages.
 * @returns {string} the root of the unpacked files
 * @throws {CannotInstall} where apt is missing, has no Debian mirror, or cannot download
 */
export function unpackDebian(folder, request) {
  const root = join(folder, 'root');
  const stamp = join(folder, 'request.json');
  const wanted = JSON.stringify(request);
  if (readOrNull(stamp) === wanted) return root;
  rmSync(folder, { recursive: true, force: true });
  const unfinished = join(folder, 'unfinished');
  mkdirSync(unfinished, { recursive: true });
  try {
    const archives = download(join(folder, 'apt'), request);
    for (const archive of archives) unpack(archive, unfinished, request.only ?? {});
  } catch (error) {
    if (error instanceof CannotInstall) throw error;
    throw new CannotInstall(`apt could not fetch ${request.packages.join(', ')}: ${message(error)}`);
  }
  rmSync(join(folder, 'apt'), { recursive: true });
  renameSync(unfinished, root);
  writeFileSync(stamp, wanted);
  return root;
}

/**
 * An apt with lists, cache and status of its own: with an empty status, the whole closure is downloaded, the C
 * library too, so that programs of a newer release than this system's can run.
 * @param {string} folder
 * @param {{ release: string, packages: readonly string[] }} request
 */
function download(folder, { release, packages }) {
  for (const path of ['lists/partial', 'cache/archives/partial', 'state']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  writeFileSync(join(folder, 'sources.list'), `deb ${mirror()} ${release} main\n`);
  writeFileSync(join(folder, 'status'), '');
  const options = [
    `Dir::Etc::SourceList=${join(folder, 'sources.list')}`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State=${join(folder, 'state')}`,
    `Dir::State::Lists=${join(folder, 'lists')}`,
    `Dir::State::status=${join(folder, 'status')}`,
    `Dir::Cache=${join(folder, 'cache')}`,
    'APT::Sandbox::User=root',
    'APT::Architecture=amd64',
    'Acquire::Languages=none',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false',
  ].map((option) => `-o${option}`);
  apt([...options, '--quiet', 'update']);
  apt([...options, '--quiet', '--yes', '--no-install-recommends', '--download-only', 'install', ...packages]);
  const archives = join(folder, 'cache', 'archives');
  return readdirSync(archives)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(archives, name));
}

/** This system's own Debian mirror; apt's keyring holds the keys of Debian's releases, newer ones too. */
function mirror() {
  const format = '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)';
  const start = 'Debian|Debian|main|';
  const lines = apt(['indextargets', '--format', format, 'Created-By: Packages']).split('\n');
  const line = lines.find((candidate) => candidate.startsWith(start));
  if (line === undefined)
    throw new CannotInstall('apt has no mirror of Debian; run `apt-get update` if it should');
  return line.slice(start.length);
}

/** @param {readonly string[]} args */
function apt(args) {
  try {
    return execFileSync('apt-get', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CannotInstall('this system has no apt-get, and the emulators come as Debian packages');
    }
    throw error;
  }
}

/**
 * @param {string} archive
 * @param {string} root
 * @param {Readonly<Record<string, string>>} only
 */
function unpack(archive, root, only) {
  const name = archive.slice(archive.lastIndexOf('/') + 1);
  const rule = Object.entries(only).find(([start]) => name.startsWith(start));
  if (rule === undefined) {
    execFileSync('dpkg-deb', ['--extract', archive, root]);
    return;
  }
  const tar = execFileSync('dpkg-deb', ['--fsys-tarfile', archive], { maxBuffer: 2 ** 30 });
  execFileSync('tar', ['--extract', '--directory', root, '--wildcards', rule[1]], { input: tar });
}

/** @param {string} file */
function readOrNull(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** @param {unknown} error */
function message(error) {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  return stderr.trim() || String(error);
}
