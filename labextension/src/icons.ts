/**
 * The icons that JupyterLab does not have.
 */
import { LabIcon } from '@jupyterlab/ui-components';

import errorSvg from '../style/error.svg';
import keySvg from '../style/key.svg';
import warningSvg from '../style/warning.svg';

/**
 * A key: the panel.
 */
export const keyIcon = new LabIcon({
  name: 'kfsecrets-ext:key',
  svgstr: keySvg
});

/**
 * A warning sign: a credential that works less well than it should.
 */
export const warningIcon = new LabIcon({
  name: 'kfsecrets-ext:warning',
  svgstr: warningSvg
});

/**
 * An error sign: a credential that does not work.
 */
export const errorIcon = new LabIcon({
  name: 'kfsecrets-ext:error',
  svgstr: errorSvg
});
