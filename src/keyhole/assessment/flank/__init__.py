"""What lies beside the canal: foramina, facet joints and Kambin's triangle."""
