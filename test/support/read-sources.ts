import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { codeOf, type ScannedSource, scanSource } from './scan-source.ts';

// The project's own source, for the tests of its structure. Paths begin at the root of the project.

export type Import = { specifier: string; typeOnly: boolean };
export type Source = { path: string; text: string; imports: Import[]; scanned: ScannedSource };
type Export = { path: string; name: string; isType: boolean };

export const root = join(import.meta.dirname, '../..');

export function readSources(folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => parseSource(join(folder, name), readFileSync(join(root, folder, name), 'utf8')));
}

export function parseSource(path: string, text: string): Source {
  return { path, text, imports: readImports(text), scanned: scanSource(text) };
}

function readImports(text: string): Import[] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:[^'"();]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/gm,
  );
  return [...statements].map(([, type, from, dynamic]) => ({
    specifier: from ?? dynamic ?? '',
    typeOnly: type !== undefined,
  }));
}

export const isRelative = ({ specifier }: Import) => specifier.startsWith('.');

/** The path that a relative import names. */
export const target = ({ path }: Source, { specifier }: Pick<Import, 'specifier'>) =>
  normalize(join(dirname(path), specifier));

/** Finds the sets of files that import each other in a circle, each as one sorted list. */
export function findCircles(sources: readonly Source[]): string[] {
  const importsOf = new Map(
    sources.map(source => [source.path, source.imports.filter(isRelative).map(one => target(source, one))]),
  );
  const reachable = new Map(sources.map(({ path }) => [path, reachableFrom(path, importsOf)]));
  const circles = [...reachable].map(([path, reached]) =>
    [...reached].filter(other => reachable.get(other)?.has(path)).sort(),
  );
  return [...new Set(circles.filter(({ length }) => length > 0).map(files => files.join(', ')))].sort();
}

/** The file itself is among them only where a circle leads back to it. */
function reachableFrom(path: string, importsOf: ReadonlyMap<string, string[]>): Set<string> {
  const reached = new Set<string>();
  const waiting = [...(importsOf.get(path) ?? [])];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (reached.has(next)) continue;
    reached.add(next);
    waiting.push(...(importsOf.get(next) ?? []));
  }
  return reached;
}

const words = (list: string) => list.split(',').flatMap(one => one.trim() || []);

export function readExports({ path, scanned }: Source): Export[] {
  const code = codeOf(scanned);
  const declared = code.matchAll(
    /^export (?:declare )?(?:async )?(?:abstract )?(type|interface|const|let|class|enum|function\*?) (\w+)/gm,
  );
  const listed = code.matchAll(/^export (type )?\{([^}]*)\}/gm);
  return [
    ...[...declared].map(([, kind = '', name = '']) => ({
      path,
      name,
      isType: ['type', 'interface'].includes(kind),
    })),
    ...[...listed].flatMap(([, type, list = '']) =>
      words(list).map(word => ({
        path,
        name: word.replace(/^type /, '').replace(/.* as /, ''),
        isType: type !== undefined || word.startsWith('type '),
      })),
    ),
  ];
}

/** `path name` for each name that is imported, passed on, or taken out of what `await import()` gives. */
export function readUses(source: Source): string[] {
  const statements = source.text.matchAll(
    /^(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s+from\s+'(\.[^']+)'|import\('(\.[^']+)'\)\)?\.(\w+)/gm,
  );
  const taken = source.text.matchAll(/const \{([^}]*)\} = await import\('(\.[^']+)'\)/g);
  return [...statements, ...taken].flatMap(([, list, from, dynamic, name]) => {
    const path = target(source, { specifier: from ?? dynamic ?? '' });
    return words(list ?? name ?? '').map(word => `${path} ${word.replace(/^type | as .*|:.*/g, '')}`);
  });
}
