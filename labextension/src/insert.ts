/**
 * Where the user writes, and how a snippet gets there.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker } from '@jupyterlab/notebook';

import { type ISnippet, hasImport, importInsertion } from './snippet';

/**
 * Why nothing can be inserted.
 */
export type Obstacle = 'no-editor' | 'read-only' | 'not-code' | 'not-python';

/**
 * A text that takes a snippet.
 */
export interface ITarget {
  /**
   * The text that changes.
   */
  readonly model: CodeEditor.IModel;

  /**
   * Its editor; `null` while a cell is scrolled out of view.
   */
  readonly editor: CodeEditor.IEditor | null;

  /**
   * The texts that may hold the import: all code cells of the notebook, say.
   */
  readonly sources: readonly string[];
}

/**
 * The trackers of the widgets in which a user writes Python; each may be missing.
 */
export interface ITrackers {
  readonly notebooks: INotebookTracker | null;
  readonly consoles: IConsoleTracker | null;
  readonly editors: IEditorTracker | null;
}

/**
 * Find the text in which the user writes: the active cell, console prompt or file.
 */
export function findTarget(
  shell: JupyterFrontEnd.IShell,
  { notebooks, consoles, editors }: ITrackers
): ITarget | Obstacle {
  const current = shell.currentWidget;
  if (current === null) {
    return 'no-editor';
  }
  const notebook = notebooks?.find(widget => widget === current);
  if (notebook) {
    const { activeCell, widgets } = notebook.content;
    if (!activeCell) {
      return 'no-editor';
    }
    if (
      activeCell.readOnly ||
      notebook.context.contentsModel?.writable === false
    ) {
      return 'read-only';
    }
    if (activeCell.model.type !== 'code') {
      return 'not-code';
    }
    if (!mayBePython(activeCell.model.mimeType)) {
      return 'not-python';
    }
    return {
      model: activeCell.model,
      editor: activeCell.editor,
      sources: widgets
        .filter(cell => cell.model.type === 'code')
        .map(cell => cell.model.sharedModel.getSource())
    };
  }
  const prompt = consoles?.find(widget => widget === current)?.console;
  if (prompt) {
    const cell = prompt.promptCell;
    if (!cell) {
      return 'no-editor';
    }
    if (!mayBePython(cell.model.mimeType)) {
      return 'not-python';
    }
    return {
      model: cell.model,
      editor: cell.editor,
      sources: [cell, ...prompt.cells].map(each =>
        each.model.sharedModel.getSource()
      )
    };
  }
  const file = editors?.find(widget => widget === current);
  if (file) {
    const { editor, model } = file.content;
    if (file.context.contentsModel?.writable === false) {
      return 'read-only';
    }
    if (!isPython(model.mimeType)) {
      return 'not-python';
    }
    return { model, editor, sources: [model.sharedModel.getSource()] };
  }
  return 'no-editor';
}

/**
 * Insert a snippet in place of the selection, and its import where there is none.
 *
 * It is one step for undo. The editor gets the focus, its cursor behind the expression.
 */
export function insert(target: ITarget, snippet: ISnippet): void {
  const { editor, model, sources } = target;
  const { expression, imports } = snippet;
  const text = model.sharedModel;
  const source = text.getSource();
  const selection = editor?.getSelection();
  const [from, to] =
    editor && selection
      ? [
          editor.getOffsetAt(selection.start),
          editor.getOffsetAt(selection.end)
        ].sort((a, b) => a - b)
      : [source.length, source.length];
  let start = from ?? source.length;
  let end = to ?? source.length;
  text.transact(() => {
    if (!hasImport(sources, imports)) {
      const { offset, text: line } = importInsertion(source, imports);
      text.updateSource(offset, offset, line);
      // What stands before the import (a docstring, a magic) is no place for an expression.
      start = Math.max(start, offset) + line.length;
      end = Math.max(end, offset) + line.length;
    }
    text.updateSource(start, end, expression);
  });
  if (editor) {
    const position = editor.getPositionAt(start + expression.length);
    if (position) {
      editor.setCursorPosition(position);
    }
    editor.focus();
  }
}

/**
 * Whether a cell may be Python: its kind is plain text until the kernel has said its language.
 */
function mayBePython(mimeType: string): boolean {
  return mimeType === 'text/plain' || isPython(mimeType);
}

function isPython(mimeType: string): boolean {
  return /\bx-(i?python|cython)\b/.test(mimeType);
}
