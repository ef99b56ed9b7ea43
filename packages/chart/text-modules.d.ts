// Files of charts imported as text.
declare module "*.yaml" {
  const text: string;
  export default text;
}
declare module "*.tpl" {
  const text: string;
  export default text;
}
