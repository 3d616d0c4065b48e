import {
  type BinaryExpression,
  type CallExpression,
  type IfStatement,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast';
import * as is from 'typescript/unstable/ast/is';
import { API } from 'typescript/unstable/sync';

/** One small change of a file: the text between `start` and `end` becomes `text`. */
export type Change = { file: string; line: number; start: number; end: number; text: string; was: string };

const comparisons: Record<string, string> = {
  '===': '!==',
  '!==': '===',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
};
const operators: Record<string, string> = {
  ...comparisons,
  '&&': '||',
  '||': '&&',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '??=': '=',
  '+=': '-=',
  '-=': '+=',
};
const methods: Record<string, string> = { some: 'every', every: 'some', min: 'max', max: 'min' };

/** All changes that can be tried in these files. @param files paths relative to the root */
export function findChanges(root: string, files: readonly string[]): Change[] {
  const api = new API({ cwd: root });
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${root}/tsconfig.json`] });
    const program = snapshot.getProjects()[0]?.program;
    return files.flatMap(file => {
      const source = program?.getSourceFile(`${root}/${file}`);
      if (!source) throw new Error(`${file} is not of the project`);
      return changesIn(source, file);
    });
  } finally {
    api.close();
  }
}

type TextOf = (node: Node) => string;

function changesIn(source: SourceFile, file: string): Change[] {
  const changes: Change[] = [];
  const textOf = (node: Node) => source.text.slice(node.getStart(source), node.end);
  const visit = (node: Node) => {
    if (is.isTypeNode(node) || isNoDecision(node, textOf)) return;
    for (const [changed, text] of changesOf(node, textOf)) {
      const [first = node, last = first] = [changed].flat();
      const [start, end] = [first.getStart(source), last.end];
      const line = source.text.slice(0, start).split('\n').length;
      changes.push({ file, line, start, end, text, was: source.text.slice(start, end) });
    }
    node.forEachChild(visit);
  };
  source.forEachChild(visit);
  return changes;
}

/** Types decide nothing, imports are for the type checker, and what is logged is for people. */
function isNoDecision(node: Node, textOf: TextOf): boolean {
  const unread =
    is.isImportDeclaration(node) || is.isTypeAliasDeclaration(node) || is.isInterfaceDeclaration(node);
  return unread || (is.isExpressionStatement(node) && /^(\w+\.)*log\.\w+\(/.test(textOf(node)));
}

/** A node, or all from one to another, and the text that takes its place. */
type Replacement = [Node | [Node, Node], string];

function changesOf(node: Node, textOf: TextOf): Replacement[] {
  const negated = (condition: Node): Replacement => [condition, `!(${textOf(condition)})`];
  if (is.isIfStatement(node)) return [negated(node.expression), ...removedExit(node)];
  if (is.isWhileStatement(node)) return [negated(node.expression)];
  if (is.isConditionalExpression(node)) return [negated(node.condition)];
  if (is.isBinaryExpression(node)) return changedOperator(node, textOf);
  if (is.isPrefixUnaryExpression(node) && node.operator === SyntaxKind.ExclamationToken)
    return [[node, textOf(node.operand)]];
  if (is.isNumericLiteral(node)) return [[node, changedNumber(textOf(node))]];
  if (node.kind === SyntaxKind.TrueKeyword) return [[node, 'false']];
  if (node.kind === SyntaxKind.FalseKeyword) return [[node, 'true']];
  if (is.isStringLiteral(node) && isCompared(node, textOf)) return [[node, "'changed'"]];
  if (is.isCallExpression(node)) return changedCall(node, textOf);
  if (is.isExpressionStatement(node)) return removedStatement(node.expression, node, textOf);
  return is.isBlock(node) || is.isSourceFile(node) ? swappedStatements(node.statements, textOf) : [];
}

/** `if (…) return …;` and its like. */
function removedExit(node: IfStatement): Replacement[] {
  const { thenStatement, elseStatement } = node;
  const [only = thenStatement, ...more] = is.isBlock(thenStatement)
    ? thenStatement.statements
    : [thenStatement];
  const leaves = is.isReturnStatement(only) || is.isThrowStatement(only) || is.isContinueStatement(only);
  return leaves && more.length === 0 && !elseStatement ? [[node, ';']] : [];
}

function changedOperator(node: BinaryExpression, textOf: TextOf): Replacement[] {
  const operator = textOf(node.operatorToken);
  if (operator === '??') return [[node, textOf(node.left)]];
  const other = operators[operator];
  return other === undefined ? [] : [[node.operatorToken, other]];
}

function changedNumber(text: string): string {
  const value = Number(text.replaceAll('_', ''));
  return `${value < 10 ? value + 1 : value * 10}`;
}

function isCompared(node: Node, textOf: TextOf): boolean {
  const { parent } = node;
  if (is.isCaseClause(parent)) return true;
  return is.isBinaryExpression(parent) && textOf(parent.operatorToken) in comparisons;
}

/** A list that is not filtered, `some` in place of `every`, and so on. */
function changedCall(node: CallExpression, textOf: TextOf): Replacement[] {
  const called = node.expression;
  if (!is.isPropertyAccessExpression(called)) return [];
  const name = textOf(called.name);
  if (name === 'filter') return [[node, textOf(called.expression)]];
  const other = methods[name];
  return other === undefined ? [] : [[called.name, other]];
}

/** Without what it does; and where it is waited for, without the waiting. */
function removedStatement(expression: Node, node: Node, textOf: TextOf): Replacement[] {
  if (is.isAwaitExpression(expression))
    return [
      [node, ';'],
      [node, `${textOf(expression.expression)};`],
    ];
  const assigns = is.isBinaryExpression(expression) && is.isAssignmentOperator(expression.operatorToken.kind);
  return is.isCallExpression(expression) || assigns ? [[node, ';']] : [];
}

/** Two neighbours that are waited for, the other way round; the second may be what is returned. */
function swappedStatements(statements: readonly Node[], textOf: TextOf): Replacement[] {
  return statements.flatMap((first, index): Replacement[] => {
    const second = statements[index + 1];
    if (!second || !isAwaited(first)) return [];
    if (isAwaited(second)) return [[[first, second], `${textOf(second)} ${textOf(first)}`]];
    if (!is.isReturnStatement(second) || !second.expression) return [];
    const swapped = `const swapped = await (${textOf(second.expression)}); ${textOf(first)} return swapped;`;
    return /\(/.test(textOf(second.expression)) ? [[[first, second], swapped]] : [];
  });
}

const isAwaited = (node: Node) => is.isExpressionStatement(node) && is.isAwaitExpression(node.expression);
