"""Pictures of every page of the addon, for the guides, the README and the page in the list of apps."""
