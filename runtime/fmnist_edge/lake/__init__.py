"""A lake of images: any number of them, in any storage, on Ray Data. Alone in importing ray and pyarrow."""
