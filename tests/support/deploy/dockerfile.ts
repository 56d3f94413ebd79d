/**
 * Reads a Dockerfile and carries out its instructions without Docker: each stage has a folder in place of a root file
 * system, and the Node.js of this machine in place of the image's.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, statSync } from 'node:fs';
import { basename, dirname, join, matchesGlob, relative } from 'node:path';

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The instructions, without comments and line continuations. */
export function instructionsOf(dockerfile: string): Instruction[] {
  return dockerfile
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [name = '', ...words] = line.split(' ');
      return { name, text: words.join(' ') };
    });
}

/** True when a build sees the file: the last rule of .dockerignore that matches decides. */
export function isSent(file: string, dockerignore: string): boolean {
  let sent = true;
  for (const rule of dockerignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'))) {
    const pattern = rule.replace(/^!/, '');
    // In Docker, `*` also matches names that begin with a dot.
    if (pattern === '*' || [pattern, `${pattern}/**`].some((p) => matchesGlob(file, p)))
      sent = rule.startsWith('!');
  }
  return sent;
}

/** All files of a folder that a build sees. */
export function contextFiles(root: string, dockerignore: string): string[] {
  const exclude = (name: string): boolean => ['node_modules', '.git', 'run', 'dist'].includes(basename(name));
  const files = globSync(['**/*', '**/.*'], { cwd: root, exclude });
  return files.filter((file) => isSent(file, dockerignore) && statSync(join(root, file)).isFile());
}

export interface Stage {
  /** The folder that stands for `/`. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly instructions: readonly Instruction[];
  readonly context: string;
  readonly files: readonly string[];
  /** The folder for the stages. */
  readonly folder: string;
  /** The machine's environment for all commands. */
  readonly env: NodeJS.ProcessEnv;
}

/** Builds all stages and returns the last. Users are not created: everything belongs to whoever runs the test. */
export function build({ instructions, context, files, folder, env }: BuildOptions): Stage {
  const stages = new Map<string, string>();
  let stage = { root: '', workdir: '/', env: {} as Record<string, string> };
  const inStage = (path: string): string =>
    join(stage.root, path.startsWith('/') ? path : join(stage.workdir, path));
  for (const { name, text } of instructions) {
    const words = text.split(/\s+/);
    if (name === 'FROM') {
      const id = words[2] ?? `stage-${stages.size}`;
      stage = { root: join(folder, id), workdir: '/', env: {} };
      stages.set(id, stage.root);
      mkdirSync(stage.root, { recursive: true });
    } else if (name === 'WORKDIR') {
      stage.workdir = text;
      mkdirSync(inStage('.'), { recursive: true });
    } else if (name === 'ENV') {
      for (const [, key = '', value = ''] of text.matchAll(/([A-Z_]+)=(\S+)/g)) stage.env[key] = value;
    } else if (name === 'COPY') {
      const from = /^--from=(\S+) /.exec(text)?.[1];
      const [target = '', ...sources] = words.filter((w) => !w.startsWith('--')).reverse();
      for (const source of sources) {
        if (from !== undefined) copyInto(join(stages.get(from) ?? '', source), target, inStage);
        else copyFromContext(source, target);
      }
    } else if (name === 'RUN') {
      // Only root may change the owner of files, and the user does not exist here.
      const command = text.replace(/ && chown .*$/, '');
      execFileSync('sh', ['-ec', command], {
        cwd: inStage('.'),
        env: { ...env, ...stage.env },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    }
  }
  return stage;

  function copyFromContext(source: string, target: string): void {
    const sent = files.filter((file) => file === source || file.startsWith(`${source}/`));
    if (sent.length === 0) throw new Error(`COPY ${source}: there is no such file in what Docker is sent`);
    for (const file of sent) {
      const isFolder = file !== source;
      const place = isFolder
        ? join(target, relative(source, file))
        : target.endsWith('/')
          ? join(target, basename(file))
          : target;
      mkdirSync(dirname(inStage(place)), { recursive: true });
      cpSync(join(context, file), inStage(place));
    }
  }
}

function copyInto(source: string, target: string, inStage: (path: string) => string): void {
  const place = target.endsWith('/') ? join(target, basename(source)) : target;
  cpSync(source, inStage(place), { recursive: true, verbatimSymlinks: true });
}
