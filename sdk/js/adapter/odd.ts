/** Odd input (adapter.md, section 5): arguments of one `track`. */
export function odd(what: string): [type: any, props: any, class_?: any] | undefined {
  const v = (x: any): [any, any] => ["odd", { v: x }];
  switch (what) {
    case "cyclic": {
      const props: any = {};
      props.v = props;
      return ["odd", props];
    }
    case "nan":
      return v(NaN);
    case "infinity":
      return v(Infinity);
    case "big_integer":
      return v(2n ** 64n);
    case "lone_surrogate":
      return v("a\ud800b");
    case "date":
      return v(new Date("2026-01-01T00:00:00.007Z"));
    case "bytes":
      return v(Uint8Array.of(0, 255, 16));
    case "set":
      return v(new Set([1]));
    case "function":
      return v(() => 1);
    case "opaque":
    case "throwing":
      return v({
        toJSON() {
          throw new Error("odd");
        },
      });
    case "deep_64":
    case "deep_65": {
      // The event's own object is 1, props are 2.
      let deep: any = 1;
      for (let i = 0; i < +what.slice(5) - 2; i++) deep = [deep];
      return v(deep);
    }
    case "huge":
      return v("x".repeat(1_048_576));
    case "many":
      return ["odd", Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]))];
    case "number_keys":
      return v(new Map([[5, "x"]]));
    case "props_list":
      return ["odd", [1]];
    case "props_text":
      return ["odd", "text"];
    case "type_number":
      return [5, {}];
    case "type_null":
      return [null, {}];
    case "type_empty":
      return ["", {}];
    case "type_long":
      return ["x".repeat(129), {}];
    case "type_blank":
      return ["a b", {}];
    case "class_9":
      return ["odd", {}, 9];
    case "class_text":
      return ["odd", {}, "0"];
    case "mutated":
      return v(1);
  }
}
