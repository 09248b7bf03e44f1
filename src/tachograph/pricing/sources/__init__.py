"""Where prices come from, each in a file of its own.

- `price_file`: the user's own prices, discounts and subscriptions; they win.
- `bundled`: genai-prices' data, which comes with the package.
- `published`: what vendors publish and genai-prices does not hold: fees by item, surcharges by region. Each number
  has a link and a day.
"""
