import { CodeEditor } from '@jupyterlab/codeeditor';

import { insert } from '../insert';
import { importLine, keySnippet, registrySnippet } from '../snippet';

const SNIPPET = keySnippet({ name: 'test-secret', key: 'foo' });
const EXPRESSION = SNIPPET.expression;
const IMPORT_LINE = 'from kfsecrets_ext import get_secret';

/** An editor of one model; offsets stand for positions in the first line. */
function editorOf(
  model: CodeEditor.IModel,
  [start, end]: [number, number]
): CodeEditor.IEditor & { cursor: number } {
  const editor = {
    model,
    cursor: -1,
    getSelection: () => ({
      start: { line: 0, column: start },
      end: { line: 0, column: end }
    }),
    getOffsetAt: ({ column }: CodeEditor.IPosition) => column,
    getPositionAt: (offset: number) => ({ line: 0, column: offset }),
    setCursorPosition: ({ column }: CodeEditor.IPosition) => {
      editor.cursor = column;
    },
    focus: jest.fn()
  };
  return editor as unknown as CodeEditor.IEditor & { cursor: number };
}

function modelOf(source: string): CodeEditor.Model {
  const model = new CodeEditor.Model();
  model.sharedModel.setSource(source);
  model.sharedModel.clearUndoHistory();
  return model;
}

describe('insert', () => {
  it('replaces the selection, brings the import, and puts the cursor behind', () => {
    const source = 'connect(password=None)';
    const model = modelOf(source);
    const editor = editorOf(model, [21, 17]);
    insert({ model, editor, sources: [source] }, SNIPPET);
    const changed = model.sharedModel.getSource();
    expect(changed).toBe(`${IMPORT_LINE}\nconnect(password=${EXPRESSION})`);
    expect(editor.cursor).toBe(changed.length - 1);
    expect(editor.focus).toHaveBeenCalled();
  });

  it('brings no import that another cell has', () => {
    const model = modelOf('x = ');
    const editor = editorOf(model, [4, 4]);
    insert({ model, editor, sources: ['x = ', IMPORT_LINE] }, SNIPPET);
    expect(model.sharedModel.getSource()).toBe(`x = ${EXPRESSION}`);
  });

  it('brings the import of the very name that the snippet needs', () => {
    const model = modelOf('x = ');
    const snippet = registrySnippet({ registry: 'ghcr.io', helpers: false });
    insert(
      { model, editor: editorOf(model, [4, 4]), sources: [IMPORT_LINE] },
      snippet
    );
    expect(model.sharedModel.getSource()).toBe(
      `${importLine('get_docker_credentials')}\nx = ${snippet.expression}`
    );
  });

  it('is one change, and so one step for undo', () => {
    const model = modelOf('x = ');
    let changes = 0;
    model.sharedModel.changed.connect((_, change) => {
      changes += change.sourceChange ? 1 : 0;
    });
    insert({ model, editor: editorOf(model, [4, 4]), sources: [] }, SNIPPET);
    expect(changes).toBe(1);
    model.sharedModel.undo();
    expect(model.sharedModel.getSource()).toBe('x = ');
  });

  it('stays behind a magic though the cursor stands before it', () => {
    const model = modelOf('%%time\n');
    insert({ model, editor: editorOf(model, [0, 0]), sources: [] }, SNIPPET);
    expect(model.sharedModel.getSource()).toBe(
      `%%time\n${IMPORT_LINE}\n${EXPRESSION}`
    );
  });

  it('appends where the cell has no editor', () => {
    const model = modelOf('x = ');
    insert({ model, editor: null, sources: [IMPORT_LINE] }, SNIPPET);
    expect(model.sharedModel.getSource()).toBe(`x = ${EXPRESSION}`);
  });
});
