"""What is written: results in HDF5/NeXus, pictures. Nothing that exists is ever overwritten."""
